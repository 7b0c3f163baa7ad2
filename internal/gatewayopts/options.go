// Package gatewayopts holds what BuildKit's gateway hands to a frontend: the options of a
// build, and the environment in which they arrive.
package gatewayopts

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// derived are the options that the gateway itself sets from a build-arg before it starts
// a frontend (frontend/dockerui/config.go, Client.init, writes to the options it reads).
var derived = map[string]string{
	"hostname":       optionkeys.BuildArgPrefix + "BUILDKIT_SANDBOX_HOSTNAME",
	"multi-platform": optionkeys.BuildArgPrefix + "BUILDKIT_MULTI_PLATFORM",
}

// sbom is the option that asks for an SBOM.
const sbom = "attest:sbom"

// Keys of the options that name the build caches to import.
const (
	CacheImports = "cache-imports"
	CacheFrom    = "cache-from"
)

// Options are the frontend options of one build. Make them with [Parse].
type Options struct {
	visible    map[string]string // all but derived options and the policy frontend's own
	contexts   []string
	overlay    string
	hasOverlay bool
	unknown    []string
	self       string
	nested     bool
	handed     map[string]string // as they arrived
	cacheMount string            // what the inner frontend gets as optionkeys.CacheMounts, or ""
	apart      string            // the id of the host that keeps its commands apart, or ""
}

// Parse reads the options that the gateway handed to the policy frontend. It keeps a copy
// of them.
func Parse(opts map[string]string) Options {
	o := Options{visible: make(map[string]string, len(opts)), self: opts[optionkeys.Source]}
	o.overlay, o.hasOverlay = opts[optionkeys.Overlay]
	for k, v := range opts {
		switch arg, isDerived := derived[k]; {
		case k == optionkeys.Overlay:
			continue
		case optionkeys.IsHandOver(k):
			if o.handed == nil {
				o.handed = map[string]string{}
			}
			o.handed[k] = v
			continue
		case optionkeys.IsOwn(k):
			o.unknown = append(o.unknown, k)
			continue
		case isDerived && v != "" && v == opts[arg]:
			continue
		}
		o.visible[k] = v
		if name, ok := optionkeys.NamedContext(k); ok {
			o.contexts = append(o.contexts, name)
		}
	}
	slices.Sort(o.unknown)
	slices.Sort(o.contexts)
	o.contexts = slices.Compact(o.contexts)
	return o
}

// Nested reads the options that an inner frontend hands to a frontend that it runs. The
// policy frontend's own reference, the namespace for cache mounts and what keeps commands apart
// stay those of o.
func (o Options) Nested(opts map[string]string) Options {
	n := Parse(opts)
	n.self, n.nested, n.cacheMount = o.self, true, o.cacheMount
	n.apart = o.apart
	if hosts, ok := n.visible[optionkeys.Hosts]; ok && n.apart != "" {
		// The frontend may have passed it on. Rules are about hosts that somebody asked for.
		n.visible[optionkeys.Hosts] = apart.RemoveFrom(hosts, n.apart)
		if hosts == apart.Option(n.apart) {
			delete(n.visible, optionkeys.Hosts)
		}
	}
	return n
}

// Visible returns the options that rules are about: all but the policy frontend's own. The
// caller must not change them.
func (o Options) Visible() map[string]string { return o.visible }

// Get returns the value of a visible option, "" if it isn't set.
func (o Options) Get(key string) string { return o.visible[key] }

// NamedContexts returns the image names that the named contexts override, sorted, without
// the platforms that they are for. The caller must not change them.
func (o Options) NamedContexts() []string { return o.contexts }

// Overlay returns the policy that the client sent, and whether it sent one.
func (o Options) Overlay() (document string, ok bool) { return o.overlay, o.hasOverlay }

// Unknown returns the keys that begin like the policy frontend's own options and aren't
// any of them, sorted. They have no effect.
func (o Options) Unknown() []string { return o.unknown }

// SelfRef returns the reference under which the daemon runs the policy frontend, as the
// daemon wrote it.
func (o Options) SelfRef() string { return o.self }

// Self returns the same as SelfRef, parsed.
func (o Options) Self() (imageref.Reference, error) { return imageref.Parse(o.self) }

// Inner returns a new map with the options for the inner frontend: the visible ones, as
// the policy obliges.
//
// BUILDKIT_SYNTAX is missing if the client set it, because the policy frontend has followed
// it already. If an inner frontend set it, the frontend that it runs may follow it.
func (o Options) Inner(by policy.Obligations) map[string]string {
	inner := maps.Clone(o.visible)
	if !o.nested {
		delete(inner, optionkeys.Syntax)
	}
	for _, k := range by.Strip {
		if k == CacheImports || k == CacheFrom {
			// The gateway client would put a missing one back (frontend/gateway/grpcclient,
			// Solve). To every frontend, an empty one is as good as none.
			inner[k] = ""
			continue
		}
		delete(inner, k)
	}
	maps.Copy(inner, by.Force)
	if o.cacheMount != "" {
		inner[optionkeys.CacheMounts] = o.cacheMount
	}
	if o.apart != "" {
		inner[optionkeys.Hosts] = apart.AddTo(inner[optionkeys.Hosts], o.apart)
		// The command that makes it would have no hosts. The daemon makes it after the build.
		delete(inner, sbom)
	}
	return inner
}

// WithCacheMounts returns the options with a namespace for cache mounts. The inner frontend gets
// it, whatever the client sent and the policy obliges.
func (o Options) WithCacheMounts(namespace string) Options {
	o.cacheMount = namespace
	return o
}

// WithApart returns the options with the id of a host, see package apart. The inner frontend is
// asked to add the host to each command, whatever the client sent and the policy obliges. It isn't
// asked for an SBOM.
func (o Options) WithApart(id string) Options {
	o.apart = id
	return o
}

// WithVisible returns the options with another value of a visible one.
func (o Options) WithVisible(key, value string) Options {
	o.visible = maps.Clone(o.visible)
	o.visible[key] = value
	return o
}

// InnerValue returns the value that [Options.Inner] gives to a key, "" if it gives none.
func (o Options) InnerValue(key string, by policy.Obligations) string {
	if key == optionkeys.Syntax && !o.nested {
		return by.Value(key, nil)
	}
	return by.Value(key, o.visible)
}
