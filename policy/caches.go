package policy

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// CachesRule is the rule of rulings on build caches. No rule of a policy can have this name.
const CachesRule = "caches"

// Caches say which build caches can be imported and exported. Only policy-guard sees them, and
// without this field it lets a build only put a cache into its own result (type=inline).
type Caches struct {
	// Caches that a build can import. All clients of the builder get the results in them, in place of
	// running the same command.
	Imports *CacheRules `yaml:"imports,omitempty"`
	// Caches that a build can export, besides inline ones.
	Exports *CacheRules `yaml:"exports,omitempty"`
}

// CacheRules say which build caches can be used.
type CacheRules struct {
	// Repositories of caches (type=registry). The default is none.
	Registry *Repositories `yaml:"registry,omitempty"`
	// Whether a directory of the client can be a cache (type=local). The default is deny.
	Local Action `yaml:"local,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
}

// The types of build caches that a policy can allow.
const (
	CacheRegistry = "registry"
	CacheLocal    = "local"
	CacheInline   = "inline"
)

// CacheUse is a build cache that a build wants to use.
type CacheUse struct {
	// Export says that the build writes the cache. Otherwise, it reads it.
	Export bool
	Type   string
	// Name is where the cache is, for [CacheRegistry].
	Name imageref.Reference
}

// DecideCache says whether a build can use a cache. An inline export is a part of the result, and
// always allowed. Both layers have to allow the others. An overlay that has no caches restricts
// nothing. No mode weakens a denial. The verdict is Allow or Deny.
func (l Layers) DecideCache(u CacheUse) Ruling {
	return l.rule(CachesRule, func(p *Policy, overlay bool) *objection {
		c := inLayer(p.doc.Caches, overlay)
		if c == nil {
			return nil
		}
		return c.objection(u, l.client)
	})
}

// objection returns why the caches don't allow the use, or nil.
func (c *Caches) objection(u CacheUse, by clients.Client) *objection {
	rules, field, verb := c.Imports, "imports", "importing"
	if u.Export {
		rules, field, verb = c.Exports, "exports", "exporting"
	}
	if rules == nil {
		rules = &CacheRules{}
	}
	var o *objection
	switch {
	case u.Type == CacheInline && u.Export:
		return nil
	case u.Type == CacheRegistry:
		what := "importing the build cache "
		if u.Export {
			what = "exporting the build cache to "
		}
		o = rules.Registry.objection(u.Name, by, what, field+".registry")
	case u.Type != CacheLocal:
		types := []string{CacheRegistry, CacheLocal}
		if u.Export {
			types = append(types, CacheInline)
		}
		return &objection{
			what: fmt.Sprintf("%s a build cache of the type %s: there are only %s", verb,
				safetext.Plain(u.Type), safetext.And(types)),
			field: field, hint: "use one in a registry that the policy allows",
		}
	case rules.Local != ActionAllow:
		o = &objection{
			what:  verb + " a build cache in a directory of the client",
			field: field + ".local",
		}
	}
	if o != nil {
		o.hint = "build without it, or have it allowed in caches." + field
	}
	return o
}

func (v *validator) caches() {
	n, c := child(v.root, "caches"), v.policy.doc.Caches
	if n == nil || c == nil {
		return
	}
	v.report().Filled(n, "caches")
	v.cacheRules(child(n, "imports"), "imports", c.Imports)
	v.cacheRules(child(n, "exports"), "exports", c.Exports)
}

func (v *validator) cacheRules(n *yaml.Node, key string, r *CacheRules) {
	if n == nil || r == nil {
		return
	}
	v.report().Filled(n, key)
	v.repositories(child(n, "registry"), "registry", r.Registry)
	v.action(n, "local", &r.Local, ActionDeny)
}
