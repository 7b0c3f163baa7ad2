package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// apartFor returns what says by which id the commands of a build are kept apart, if its client
// sends these options; see [frontend.Frontend].Apart. Commands of builds with the same id share the
// daemon's build cache and run once for builds under way. Those of others share nothing.
//
// Builds are kept apart where a policy has rules for some clients: a client gets no result that
// only others may make. Under rules on downloads, only one build at a time has an id; see
// [lineage]. Builds are also kept apart by options whose effect the daemon shares between commands
// that differ in nothing else. Such commands are shared by builds of the same identity with the
// same values.
//
// A guard that signs summaries keeps all builds apart: a summary says by which rules all commands
// ran, whenever that was.
func (b *build) apartFor(
	opts map[string]string,
) func(policy.Layers, policy.Decision) (string, string, error) {
	return func(l policy.Layers, d policy.Decision) (id, cacheMounts string, err error) {
		shared := sharedOptions(opts, d.Obligations)
		if err := judgeShared(shared, d); err != nil {
			return "", "", err
		}
		if !l.NamesClients() && !l.HasDownloads() && len(shared) == 0 && b.proof == nil {
			return "", "", nil
		}
		parts := []string{"rules", l.RulesDigest(d, time.Now()).String()}
		if b.proof != nil { // a guard that signs nothing lets builds import caches
			parts = append(parts, "summaries")
		}
		if l.HasDownloads() {
			lineage, err := b.enter(apartID(append(parts, string(b.who))...))
			if err != nil {
				return "", "", err
			}
			parts = append(parts, "lineage", lineage)
			cacheMounts = b.guard.names.cacheMounts(b.who, "lineage", lineage)
		}
		if len(shared) > 0 {
			parts = append(parts, "options", string(b.who))
			for _, key := range slices.Sorted(maps.Keys(shared)) {
				parts = append(parts, key, shared[key])
			}
		}
		return apartID(parts...), cacheMounts, nil
	}
}

// asResults returns the names by which the guard remembers what a build has returned. Where builds
// under several rules are kept apart, a build under other rules can't build on it. opts are what
// the client sends.
func (b *build) asResults(opts map[string]string, identities []string) []string {
	if len(identities) == 0 || b.policy.NamesClients() == "" && b.proof == nil {
		return identities
	}
	if b.proof == nil { // what an overlay says tells no clients apart
		opts = nil
	}
	rules := b.rules(opts)
	names := make([]string, len(identities))
	for i, id := range identities {
		names[i] = rules + " " + id
	}
	return names
}

// rules returns a digest of the rules for the build at this time, if its client sends these
// options.
func (b *build) rules(opts map[string]string) string {
	l, err := b.policy.layers(b.by, opts)
	if err != nil { // which refuses the build
		return ""
	}
	return l.RulesDigest(policy.Decision{}, time.Now()).String()
}

// cacheMounts returns the namespace of the build's cache mounts. They belong to the identity. Where
// summaries are signed, builds of the same identity under other rules have others: commands leave
// in them what they like. Those of a build under rules on downloads belong to its [lineage].
func (b *build) cacheMounts(opts map[string]string) string {
	if b.proof == nil {
		return b.guard.names.cacheMounts(b.who)
	}
	return b.guard.names.cacheMounts(b.who, b.rules(opts))
}

// checkApartSBOM refuses an SBOM that only the frontend would make: its command isn't kept apart.
// The daemon makes the SBOM of a build which begins with that option.
func (b *build) checkApartSBOM(choice *frontend.Choice, req *gwpb.SolveRequest) error {
	if choice.KeptApart() == "" || b.sbom != "" || req.FrontendOpt[optionSBOM] == "" {
		return nil
	}
	return fmt.Errorf("the request that began the build asks for no SBOM, and this one does (%s)",
		optionSBOM)
}

// apartID returns an id that differs for other parts.
func apartID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return apart.ID(hex.EncodeToString(h.Sum(nil)))
}

// limitOptions are the options that limit the steps of a build. The daemon merges steps of builds
// that differ in nothing else (solver/jobs.go, loadUnlocked).
var limitOptions = []string{
	"memory", "memswap", "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems",
}

// sharedOptions returns the options whose effect on commands isn't in the keys of the build cache
// (solver/llbsolver/ops/exec.go, CacheMap): addresses of hosts, proxies, and limits. What the
// policy removes or sets itself isn't among them.
func sharedOptions(opts map[string]string, by policy.Obligations) map[string]string {
	shared := map[string]string{}
	for key, value := range opts {
		if _, forced := by.Force[key]; forced || slices.Contains(by.Strip, key) {
			continue
		}
		if value != "" && (key == optionkeys.Hosts || slices.Contains(limitOptions, key) ||
			optionkeys.IsProxy(key)) {
			shared[key] = value
		}
	}
	return shared
}

// judgeShared refuses what rules on commands have no words for. They have some for hosts.
func judgeShared(shared map[string]string, d policy.Decision) error {
	if !d.Restricts(buildrules.KindExec) {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(shared)) {
		if key != optionkeys.Hosts {
			return fmt.Errorf("the policy has rules on commands (build.exec), and these can't allow the "+
				"option %s: build without it, or have it removed by options.strip", safetext.Plain(key))
		}
	}
	return nil
}
