package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver/llbsolver/compat"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// solve begins a build. The answer comes when the build has ended.
//
// In the request of today's clients there is no frontend. They begin an empty build, and ask for
// the frontend by LLBBridge.Solve. For others, the guard does so itself.
func (c *call) solve() (err error) {
	var req controlapi.SolveRequest
	passed := false // to the daemon
	defer func() {
		if ref, named := c.guard.names.ref(c.who, req.Ref); named == nil && !passed && err != nil {
			c.guard.refuseBuild(c.who, ref, err)
		}
	}()
	if err := c.receive(&req); err != nil {
		return err
	}
	under := c.guard.policy.current()
	c.record = c.openRecord(&req, under)
	defer func() { c.record.end(c.stream.Context(), err) }()
	rules := under.DownloadRules()
	switch {
	case rules != "" && len(req.SourcePolicy.GetRules()) > 0:
		return c.refuse(fmt.Errorf("it has a source policy, and where the policy has rules on downloads "+
			"(%s), commands could go on without what that one denies; build without it", rules))
	case rules == "" && req.ProxyNetwork:
		// A command can go on without what the client's source policy denies it there, and others would
		// get its result: the build cache doesn't tell that it ran behind the proxy.
		return c.refuse(errors.New("it asks for BuildKit's build proxy, which only rules on downloads " +
			"(build.exec.downloads) turn on here; build without it (buildctl: --proxy-network)"))
	}
	direct, err := takeDirect(&req)
	if err != nil {
		return c.refuse(err)
	}
	layers, err := under.layers(c.client, req.FrontendAttrs)
	if err != nil {
		return c.refuse(err)
	}
	if err := rewrite(layers, &req); err != nil {
		return c.refuse(err)
	}
	if len(req.Cache.GetImports()) > 0 {
		if err := c.guard.mayImport(under); err != nil {
			return c.refuse(err)
		}
	}
	granted, err := entitlements(layers, req.Entitlements)
	if err != nil {
		return c.refuse(err)
	}
	if err := c.guard.checkDaemon(c.outgoing(c.stream.Context()), under); err != nil {
		if _, ok := status.FromError(err); ok {
			return c.fromDaemon(err)
		}
		return c.refuse(err)
	}
	b := &build{
		guard: c.guard, who: c.who, by: c.client, client: req.Ref, session: req.Session, policy: under,
		entitlements: granted, exports: goesSomewhere(&req), hidden: keepHidden(&req, direct),
		sbom: req.FrontendAttrs[optionSBOM], record: c.record, proof: c.guard.newProof(),
	}
	b.record.generator(b.sbom)
	b.record.keptHidden(b.hidden)
	if direct != nil {
		if err := b.judgeDirect(direct, req.Cache); err != nil {
			return c.refuse(err)
		}
	}
	err = c.guard.begin(c.stream.Context(), b)
	if _, ok := status.FromError(err); err != nil && ok {
		return err
	}
	if err != nil {
		return c.refuse(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer b.end()
	if req.SourcePolicySession, err = b.openPolicySession(); err != nil {
		return b.fromDaemon(err)
	}
	req.Ref, passed = b.ref, true
	// A frontend is chosen when it is too late to tell the daemon.
	req.ProxyNetwork = rules != ""
	if direct != nil {
		serving.Go(func() { b.serveDirect(c, direct) })
	}
	solving, ended := b.untilSettled()
	var resp controlapi.SolveResponse
	err = c.ask(c.outgoing(solving), c.method, &req, &resp)
	ended()
	b.awaitStop()
	b.leave(endedByDaemon(b.ctx, err))
	if cause := b.broken(); cause != nil {
		return cause
	}
	if err != nil {
		return b.fromDaemon(err)
	}
	b.record.finished(&resp)
	b.prove(c.stream.Context(), &req, &resp)
	return c.send(&resp)
}

// endedByDaemon reports whether the daemon has ended a build by itself, with this error. Commands
// that it hasn't killed yet are told nothing any more; see [lateTime]. ctx is that of the build.
func endedByDaemon(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (err == nil || status.Code(err) == codes.Unknown)
}

const (
	// maxSourcePolicy bounds the source policies of a request together, in bytes. The daemon compares
	// each source with each rule.
	maxSourcePolicy = 256 << 10
	// maxSourcePolicies is how many source policies a request of the gateway API may have. buildx
	// sends none.
	maxSourcePolicies = 100
)

// rewrite judges what a client asks of a build beside its frontend, and brings it into one form.
// Its error completes "policy-guard refuses it: ".
func rewrite(l policy.Layers, req *controlapi.SolveRequest) error {
	var err error
	if req.Exporters, err = exporters(l, req); err != nil {
		return err
	}
	req.ExporterDeprecated, req.ExporterAttrsDeprecated = "", nil
	if req.FrontendAttrs, err = attributes(l, req.FrontendAttrs); err != nil {
		return err
	}
	if req.Cache, err = caches(l, req.Cache); err != nil {
		return err
	}
	switch {
	case req.EnableSessionExporter:
		return errors.New("its exporter would be chosen by the client when the build has ended")
	case req.SourcePolicySession != "":
		return errors.New("it has a session policy of its own, such as a Dockerfile.rego; build " +
			"without it (buildx: --policy disabled=true)")
	}
	if err := checkCompatibility(req.CompatibilityVersion); err != nil {
		return err
	}
	return tightens([]*spb.Policy{req.SourcePolicy})
}

// checkCompatibility refuses another version of BuildKit's behaviour than the one that this package
// judges builds by. That is the current one of the BuildKit that this module requires, and for a
// daemon of that version, 0 means the same (control/control.go, Solve). A later daemon may have a
// later current version, and then does for this one what the daemon of today does.
func checkCompatibility(version int64) error {
	const current = compat.CompatibilityVersionCurrent
	if version == 0 || version == current {
		return nil
	}
	return fmt.Errorf("it asks for the version %d of BuildKit's behaviour, and builds are judged by the "+
		"version %d only; ask for %d or for no version (compatibility-version)", version, current,
		current)
}

// shown are options that only the history and provenance show, as buildx prints them
// (commands/history/inspect.go). The daemon gets the options of the frontend from LLBBridge.Solve.
var shown = []string{
	"context", "filename", "target", "platform", "multi-platform", "vcs:source", "vcs:revision",
	"vcs:localdir:context", "vcs:localdir:dockerfile", "no-cache", "image-resolve-mode",
	"force-network-mode", "hostname", "shm-size", "ulimit",
}

// attributes returns the options of a build that the daemon may have. It acts on some of them
// although the build has no frontend (control/control.go, Solve): on attestations, no-cache,
// image-resolve-mode and SOURCE_DATE_EPOCH. Of the others, those stay that only are shown.
func attributes(l policy.Layers, all map[string]string) (map[string]string, error) {
	sbom, err := attested(l, all)
	if err != nil {
		return nil, err
	}
	kept := map[string]string{}
	if sbom != "" {
		kept[optionSBOM] = sbom
	}
	for key, value := range all {
		if key == optionProvenance || slices.Contains(shown, key) || strings.HasPrefix(key, "label:") ||
			strings.HasPrefix(key, optionkeys.ContextPrefix) ||
			strings.HasPrefix(key, optionkeys.BuildArgPrefix) && !optionkeys.IsOwn(key) {
			kept[key] = value
		}
	}
	return kept, nil
}

// tightens judges the source policies of a request. They may deny what the policy allows. They may
// convert nothing: the daemon asks about the source after the conversion, and doesn't say what it
// was.
func tightens(policies []*spb.Policy) error {
	if len(policies) > maxSourcePolicies {
		return fmt.Errorf("it has more than %d source policies", maxSourcePolicies)
	}
	size := 0
	for _, p := range policies {
		if size += proto.Size(p); size > maxSourcePolicy {
			return fmt.Errorf("its source policies have more than %d bytes", maxSourcePolicy)
		}
		for _, r := range p.GetRules() {
			if r.GetAction() == spb.PolicyAction_CONVERT || r.GetUpdates() != nil {
				return errors.New("its source policy converts sources")
			}
		}
	}
	return nil
}
