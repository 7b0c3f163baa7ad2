package frontend

import (
	"maps"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// cacheImports refuses to import a build cache that the client didn't name, because nobody has
// checked the results in it.
func (m *monitor) cacheImports(entries []*gwpb.CacheOptionsEntry) error {
	if len(entries) == 0 {
		return nil
	}
	named, err := cacheImports(m.build.opts, m.inner.decision.Obligations)
	if err != nil {
		return m.refuseUnknown("%v", err)
	}
	for _, e := range entries {
		known := false
		for _, n := range named {
			known = known || (n.Type == e.GetType() && maps.Equal(n.Attrs, e.GetAttrs()))
		}
		if !known {
			return m.refuseUnknown(
				"a build cache of type %s that the client didn't name", safetext.Plain(e.GetType()))
		}
	}
	if m.outer != nil { // whose obligations may remove a cache
		return m.outer.cacheImports(entries)
	}
	return nil
}

// cacheImports returns the build caches that the client names and that reach the inner frontend.
// The error is that of [gatewayopts.NamedCaches].
func cacheImports(o gatewayopts.Options, by policy.Obligations) ([]*gwpb.CacheOptionsEntry, error) {
	return gatewayopts.NamedCaches(func(key string) string { return o.InnerValue(key, by) })
}
