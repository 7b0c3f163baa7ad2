package lint

import "github.com/policy-frontend/policy-frontend/policy"

// unseen is the message about a field that only policy-guard applies.
const unseen = "%s has no effect in the gateway image, because only policy-guard sees what it is " +
	"about; run builds through policy-guard"

// results checks where results can go and which build caches are used.
func (c *checker) results() {
	if x := c.doc.Exports; x != nil {
		c.addf(NeedsGuard, unseen, "exports")
		repeated("exports.client", x.Client, byGlob(x.Client, false), c.addf)
		repeated("exports.annotations", x.Annotations, byGlob(x.Annotations, false), c.addf)
		c.repositories("exports.push", x.Push)
		c.repositories("exports.store", x.Store)
	}
	if k := c.doc.Caches; k != nil {
		c.addf(NeedsGuard, unseen, "caches")
		c.cache("caches.imports", k.Imports)
		c.cache("caches.exports", k.Exports)
		if k.Imports != nil && k.Imports.Local == policy.ActionAllow {
			c.addf(CacheByClient, "caches.imports.local lets each client put results of its choice in the "+
				"place of commands that other clients run; allow a repository that only trusted builds write")
		}
	}
}

func (c *checker) cache(field string, r *policy.CacheRules) {
	if r != nil {
		c.repositories(field+".registry", r.Registry)
	}
}

func (c *checker) repositories(field string, r *policy.Repositories) {
	if r == nil {
		return
	}
	allow, _ := r.Patterns()
	checkNames(field, allow, r.Deny, true, false, c.addf)
}
