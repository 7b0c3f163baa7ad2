package lint

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/policy"
)

// unseen is the message about a field that only policy-guard applies.
const unseen = "%s has no effect in the gateway image, because only policy-guard sees what it is " +
	"about; run builds through policy-guard"

// results checks where results can go, which build caches are used, what makes SBOMs, and which
// builds have summaries.
func (c *checker) results() {
	if x := c.doc.Exports; x != nil {
		c.addf(NeedsGuard, unseen, "exports")
		c.choices("exports.client", x.Client, false)
		c.choices("exports.annotations", x.Annotations, false)
		c.annotations(x)
		c.choices("exports.push", x.Push, true)
		c.choices("exports.store", x.Store, true)
	}
	if s := c.doc.SBOM; s != nil {
		c.addf(NeedsGuard, unseen, "sbom")
		c.choices("sbom.generators", s.Generators, true)
	}
	repeated("attest", c.doc.Attest, byGlob(c.doc.Attest, false), c.addf)
	if slices.Equal(c.doc.Attest, []string{policy.AttestWarned}) {
		c.addf(NeedsGuard, "attest has no effect in the gateway image, which makes no summaries without "+
			"%s; add that, or run builds through policy-guard", policy.AttestImage)
	}
	if k := c.doc.Caches; k != nil {
		c.addf(NeedsGuard, unseen, "caches")
		c.cache("caches.imports", k.Imports)
		c.cache("caches.exports", k.Exports)
		if k.Imports != nil && k.Imports.Local.AllowsSome() && len(k.Imports.Local.For()) == 0 {
			c.addf(CacheByClient, "caches.imports.local lets each client put results of its choice in the "+
				"place of commands that other clients run; allow a repository that only trusted builds "+
				"write, or name the trusted clients (caches.imports.local.clients)")
		}
	}
	c.resultEntries()
}

// annotations looks for annotations that no build can set.
func (c *checker) annotations(x *policy.Exports) {
	none := !x.ToClient().AllowsSome() && !x.Push.AllowsSome() && !x.Store.AllowsSome()
	c.lists("exports.annotations", x.Annotations, func(field string, keys []string) {
		for _, key := range keys {
			switch {
			case policy.MarksAttestations(key):
				c.addf(EntryWithoutEffect, "%s has %s, by which BuildKit marks attestations, so no build can "+
					"set it; remove it", field, key)
			case none:
				c.addf(EntryWithoutEffect, "%s has %s, and exports lets no result go anywhere; remove it, or "+
					"allow an exporter", field, key)
			}
		}
	})
}

// lists calls found with each list of entries of a field. The rules of choices are numbered.
func (c *checker) lists(
	field string, r *policy.Choices, found func(field string, entries []string),
) {
	for i, rule := range r.All() {
		found(allowOf(field, r, i), rule.Allow)
		found(placeOf(field, r, i)+".deny", rule.Deny)
	}
}

func (c *checker) cache(field string, r *policy.CacheRules) {
	if r != nil {
		c.choices(field+".registry", r.Registry, true)
	}
}

// choices checks what clients can use: names of repositories, or words.
func (c *checker) choices(field string, r *policy.Choices, names bool) {
	rules := r.All()
	for i, rule := range rules {
		at, list := placeOf(field, r, i), allowOf(field, r, i)
		allow, _ := rule.Patterns()
		several := len(rules) > 1 // one of the others may allow what this one denies
		if names {
			checkNames(at, allow, rule.Deny, true, several, c.addf)
		} else {
			repeated(list, allow, byGlob(allow, false), c.addf)
			repeated(at+".deny", rule.Deny, byGlob(rule.Deny, true), c.addf)
			refusedTexts(list, allow, rule.Deny, c.addf)
			if r.AllowsSome() && !several {
				unlistedTexts(at+".deny", allow, rule.Deny, c.addf)
			}
		}
		tellClients(at+".clients", rule.Clients, rule.For(), len(allow) > 0, c.addf)
		if r.AllowsSome() {
			continue
		}
		for _, entry := range rule.Deny {
			c.addf(BuildDenyWithoutEffect, "%s.deny has %s, and allow lists nothing; remove it", at, entry)
		}
	}
}

// allowOf names the list of what the rule of that number allows.
func allowOf(field string, r *policy.Choices, i int) string {
	if r.Plain() {
		return field
	}
	return placeOf(field, r, i) + ".allow"
}

// placeOf names the rule of that number among all of a field.
func placeOf(field string, r *policy.Choices, i int) string {
	beside := len(r.All()) - len(r.Rules)
	if i < beside {
		return field
	}
	return fmt.Sprintf("%s.rules[%d]", field, i-beside)
}

// resultList is a list of entries about results or build caches.
type resultList struct {
	field   string
	entries []string
	// alone is a document with nothing but the field that has the list, with other entries in it.
	alone func(entries []string) policy.Document
}

func (c *checker) resultLists() []resultList {
	var out []resultList
	type inDocument func(*policy.Choices) policy.Document
	choices := func(field string, r *policy.Choices, in inDocument) {
		for i, rule := range r.All() {
			at := placeOf(field, r, i)
			with := func(change func(*policy.Choice)) policy.Document {
				all := &policy.Choices{}
				for j, o := range r.All() {
					other := *o
					if i == j {
						change(&other)
					}
					all.Rules = append(all.Rules, &other)
				}
				return in(all)
			}
			out = append(out,
				resultList{allowOf(field, r, i), rule.Allow, func(entries []string) policy.Document {
					return with(func(o *policy.Choice) { o.Allow = entries })
				}},
				resultList{at + ".deny", rule.Deny, func(entries []string) policy.Document {
					return with(func(o *policy.Choice) { o.Deny = entries })
				}})
		}
	}
	exports := func(x policy.Exports) policy.Document { return policy.Document{Exports: &x} }
	caches := func(k policy.Caches) policy.Document { return policy.Document{Caches: &k} }
	if x := c.doc.Exports; x != nil {
		choices("exports.push", x.Push, func(r *policy.Choices) policy.Document {
			return exports(policy.Exports{Push: r})
		})
		choices("exports.store", x.Store, func(r *policy.Choices) policy.Document {
			return exports(policy.Exports{Store: r})
		})
		choices("exports.client", x.Client, func(r *policy.Choices) policy.Document {
			return exports(policy.Exports{Client: r})
		})
		choices("exports.annotations", x.Annotations, func(r *policy.Choices) policy.Document {
			return exports(policy.Exports{Annotations: r})
		})
	}
	if s := c.doc.SBOM; s != nil {
		choices("sbom.generators", s.Generators, func(r *policy.Choices) policy.Document {
			return policy.Document{SBOM: &policy.SBOM{Generators: r}}
		})
	}
	if k := c.doc.Caches; k != nil {
		if r := k.Imports; r != nil {
			choices("caches.imports.registry", r.Registry, func(r *policy.Choices) policy.Document {
				return caches(policy.Caches{Imports: &policy.CacheRules{Registry: r}})
			})
		}
		if r := k.Exports; r != nil {
			choices("caches.exports.registry", r.Registry, func(r *policy.Choices) policy.Document {
				return caches(policy.Caches{Exports: &policy.CacheRules{Registry: r}})
			})
		}
	}
	return out
}

// resultEntries looks for entries that the other checks miss. It removes them one by one and tries
// samples, as [sampler] does.
func (c *checker) resultEntries() {
	lists := c.resultLists()
	n := 0
	for _, l := range lists {
		n += len(l.entries)
	}
	if n > maxSampled {
		return
	}
	for _, l := range lists {
		rest := slices.DeleteFunc(slices.Clone(l.entries), func(entry string) bool {
			return c.saysOfResults(l.field, entry)
		})
		for _, entry := range slices.Clone(rest) {
			without := func(list []string) []string {
				return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == entry })
			}
			if c.sameResults(l.alone(l.entries), l.alone(without(l.entries))) &&
				c.sameResults(l.alone(rest), l.alone(without(rest))) {
				rest = without(rest)
				c.addf(EntryWithoutEffect, "%s has %s, and no request was found for which it matters, because "+
					"other entries decide them; remove it", l.field, entry)
			}
		}
	}
}

// saysOfResults reports whether a finding says that an entry has no effect.
func (c *checker) saysOfResults(field, entry string) bool {
	return slices.ContainsFunc(c.found, func(f located) bool {
		rest, ok := strings.CutPrefix(f.Message, field)
		return ok && slices.Contains([]Code{
			EntryRepeated, EntryWithoutEffect, BuildAllowRefused, BuildDenyWithoutEffect,
		}, f.Code) && slices.ContainsFunc(writtenAs(entry),
			func(form string) bool { return follows(rest, form) })
	})
}

// sameResults reports whether no sample shows a difference between two documents. It is false if
// not all samples were tried, or if one isn't valid.
func (c *checker) sameResults(a, b policy.Document) bool {
	var parsed [2]*policy.Policy
	for i, d := range []policy.Document{a, b} {
		d.Version = policy.Version
		text, err := yaml.Marshal(d)
		if err != nil {
			return false
		}
		if parsed[i], err = policy.Parse(c.file, text); err != nil {
			return false
		}
	}
	found, searched := diff.FindResult(parsed[0], parsed[1], resultWork)
	return !found && searched
}
