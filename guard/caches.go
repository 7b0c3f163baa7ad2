package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Attributes of build caches (cache/remotecache/registry/registry.go,
// cache/remotecache/local/local.go, control/control.go). reset and tag are for the client alone
// (client/solve.go).
const (
	cacheRef      = "ref"
	cacheInsecure = "registry.insecure"
)

var (
	cacheFormat = []string{
		"mode", "compression", "force-compression", "compression-level", "oci-mediatypes",
		"image-manifest", "ignore-error",
	}
	inRegistry = []string{cacheRef, cacheInsecure}
	cacheAttrs = map[policy.CacheUse][]string{
		{Type: policy.CacheInline, Export: true}:   nil,
		{Type: policy.CacheRegistry}:               inRegistry,
		{Type: policy.CacheRegistry, Export: true}: slices.Concat(inRegistry, cacheFormat),
		{Type: policy.CacheLocal}:                  {"src", "digest", "tag"},
		{Type: policy.CacheLocal, Export: true}: slices.Concat(
			[]string{"dest", "tag", "reset"}, cacheFormat),
	}
)

// cachesOf returns the build caches of a request, which has old fields and new ones. The daemon
// reads both (control/control.go, translateLegacySolveRequest).
func cachesOf(c *controlapi.CacheOptions) (exports, imports []*controlapi.CacheOptionsEntry) {
	if c == nil {
		return nil, nil
	}
	exports = slices.Clone(c.Exports)
	if c.ExportRefDeprecated != "" {
		attrs := map[string]string{}
		maps.Copy(attrs, c.ExportAttrsDeprecated)
		attrs[cacheRef] = c.ExportRefDeprecated
		exports = append(exports,
			&controlapi.CacheOptionsEntry{Type: policy.CacheRegistry, Attrs: attrs})
	}
	imports = slices.Clone(c.Imports)
	for _, ref := range c.ImportRefsDeprecated {
		attrs := map[string]string{cacheRef: ref}
		imports = append(imports,
			&controlapi.CacheOptionsEntry{Type: policy.CacheRegistry, Attrs: attrs})
	}
	return exports, imports
}

// caches returns the build caches of a request as the policy allows them. The daemon reads from
// them and writes to them without asking anybody.
func caches(l policy.Layers, c *controlapi.CacheOptions) (*controlapi.CacheOptions, error) {
	if c == nil {
		return nil, nil
	}
	exports, imports := cachesOf(c)
	judged := &controlapi.CacheOptions{}
	var err error
	if judged.Exports, err = entries(l, true, exports); err != nil {
		return nil, err
	}
	judged.Imports, err = entries(l, false, imports)
	return judged, err
}

// entries returns build caches in the form in which they were judged.
func entries(
	l policy.Layers, export bool, all []*controlapi.CacheOptionsEntry,
) ([]*controlapi.CacheOptionsEntry, error) {
	var judged []*controlapi.CacheOptionsEntry
	for _, e := range all {
		attrs, err := cache(l, export, e.GetType(), e.GetAttrs())
		if err != nil {
			return nil, err
		}
		judged = append(judged, &controlapi.CacheOptionsEntry{Type: e.GetType(), Attrs: attrs})
	}
	return judged, nil
}

// cache judges a build cache, and returns its attributes with the name that was judged. Its error
// completes "policy-guard refuses it: ".
func cache(
	l policy.Layers, export bool, kind string, attrs map[string]string,
) (map[string]string, error) {
	use := policy.CacheUse{Type: kind, Export: export}
	known, ok := cacheAttrs[use]
	for key := range attrs {
		if ok && !slices.Contains(known, key) {
			return nil, fmt.Errorf("its build cache has the attribute %s, which isn't allowed",
				safetext.Plain(key))
		}
	}
	if kind != policy.CacheRegistry {
		return attrs, denied(l, l.DecideCache(use))
	}
	if value, set := attrs[cacheInsecure]; set {
		if b, err := strconv.ParseBool(value); err != nil || b {
			return nil, fmt.Errorf("its build cache has %s, which is for the daemon's configuration to say "+
				"(buildkitd.toml: [registry.\"host\"] with http or insecure)", cacheInsecure)
		}
	}
	ref, err := imageref.Parse(attrs[cacheRef])
	if err != nil {
		return nil, fmt.Errorf("the name of its build cache can't be judged: %w", err)
	}
	use.Name = ref
	attrs = maps.Clone(attrs)
	attrs[cacheRef] = ref.String()
	return attrs, denied(l, l.DecideCache(use))
}

// mayImport refuses to import build caches where summaries are signed, and under rules on
// downloads. The daemon keeps what it has imported with its own cache (solver/combinedcache.go,
// Load), and gives it to later builds. So their summaries would rest on it. And a client knows the
// host by which its commands are kept apart, so it can make a cache that has them. Its error
// completes "policy-guard refuses it: ".
func (g *Guard) mayImport(p *Policy) error {
	switch rules := p.DownloadRules(); {
	case g.summaries == nil && rules == "":
		return nil
	case g.summaries == nil:
		return fmt.Errorf("it imports a build cache, and where the policy has rules on downloads (%s), "+
			"nobody knows what commands downloaded for that: build without it (buildx: --cache-from)",
			rules)
	}
	return errors.New("it imports a build cache, which later builds would get too, and policy-guard " +
		"signs by which rules all their steps ran: build without it (buildx: --cache-from)")
}

// mayImportBy refuses what [Guard.mayImport] does in a build whose policy forces a build cache.
func (b *build) mayImportBy(d policy.Decision) error {
	for _, key := range []string{gatewayopts.CacheImports, gatewayopts.CacheFrom} {
		if d.Obligations.Value(key, nil) != "" {
			return b.guard.mayImport(b.policy)
		}
	}
	return nil
}

// judgeCaches judges the build caches that a request names, in each of its places, and brings them
// into the form that was judged. Its error completes "policy-guard refuses it: ".
func (b *build) judgeCaches(req *gwpb.SolveRequest) error {
	opts := req.FrontendOpt
	if len(req.CacheImports) == 0 && opts[gatewayopts.CacheImports] == "" &&
		opts[gatewayopts.CacheFrom] == "" {
		return nil
	}
	if err := b.guard.mayImport(b.policy); err != nil {
		return err
	}
	l, err := b.policy.layers(b.by, opts)
	if err != nil {
		return err
	}
	if err := imports(l, req.CacheImports); err != nil {
		return err
	}
	return cacheOptions(l, opts)
}

// imports judges caches to import, and brings them into the form that was judged.
func imports(l policy.Layers, entries []*gwpb.CacheOptionsEntry) error {
	for _, e := range entries {
		var err error
		if e.Attrs, err = cache(l, false, e.GetType(), e.GetAttrs()); err != nil {
			return err
		}
	}
	return nil
}

// cacheOptions judges the build caches that the options of a frontend name, and brings them into
// the form that was judged.
func cacheOptions(l policy.Layers, opts map[string]string) error {
	only := func(key string) ([]*gwpb.CacheOptionsEntry, error) {
		entries, err := gatewayopts.NamedCaches(func(k string) string {
			if k != key {
				return ""
			}
			return opts[key]
		})
		if err != nil {
			return nil, fmt.Errorf("it asks for %w", err)
		}
		return entries, imports(l, entries)
	}
	listed, err := only(gatewayopts.CacheImports)
	if err != nil {
		return err
	}
	if opts[gatewayopts.CacheImports] != "" {
		type entry struct { // as clients write it (client/solve.go, parseCacheOptions)
			Type  string
			Attrs map[string]string
		}
		list := make([]entry, len(listed))
		for i, e := range listed {
			list[i] = entry{e.Type, e.Attrs}
		}
		text, err := json.Marshal(list)
		if err != nil {
			return err
		}
		opts[gatewayopts.CacheImports] = string(text)
	}
	from, err := only(gatewayopts.CacheFrom)
	if err != nil || len(from) == 0 {
		return err
	}
	refs := make([]string, len(from))
	for i, e := range from {
		refs[i] = e.Attrs[cacheRef]
	}
	opts[gatewayopts.CacheFrom] = strings.Join(refs, ",")
	return nil
}
