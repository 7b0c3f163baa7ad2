package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// maxEntries is the length of the longest list whose entries are compared with each other, which
// takes the square of it.
const maxEntries = 1000

// covering reports whether entry i of a list stands for all that entry j stands for.
type covering func(i, j int) bool

// repeated looks for entries that another entry of the list makes superfluous.
func repeated(field string, entries []string, covers covering, tell tell) {
	if len(entries) > maxEntries {
		return
	}
	for j, entry := range entries {
		for i, by := range entries {
			if i != j && covers(i, j) && (i < j || !covers(j, i)) {
				tell(EntryRepeated, "%s has %s, and %s is for that too; remove one of them", field, entry, by)
				break
			}
		}
	}
}

// byGlob compares globs. With fold, letter case doesn't matter.
func byGlob(entries []string, fold bool) covering {
	return func(i, j int) bool { return coversText(entries[i], entries[j], fold) }
}

func coversText(big, small string, fold bool) bool {
	if fold {
		big, small = globs.FoldASCII(big), globs.FoldASCII(small)
	}
	return globs.Covers(big, small)
}

// byName compares patterns of names that allow something.
func byName(entries []string) covering {
	parsed := parseAll(entries)
	return func(i, j int) bool { return parsed[i].Covers(parsed[j]) }
}

// byDeniedName compares patterns of names, as they are written, that deny something.
func byDeniedName(entries []string) covering {
	parsed := make([][]names, len(entries))
	for i, e := range entries {
		parsed[i] = denied(e)
	}
	return func(i, j int) bool {
		return !slices.ContainsFunc(parsed[j], func(n names) bool { return !anyCovers(parsed[i], n) })
	}
}

// byOption compares keys of options. A glob for build-args isn't for the attestation of every
// build, and the build-arg of that is.
func byOption(keys []string) covering {
	const attestation = "build-arg:buildkit_attest_"
	named := func(key string) bool { return strings.HasPrefix(globs.FoldASCII(key), attestation) }
	return func(i, j int) bool {
		return globs.Covers(keys[i], keys[j]) && (named(keys[i]) || !named(keys[j]) || keys[i] == "*")
	}
}

func byURL(patterns []urlmatch.Pattern) covering {
	return func(i, j int) bool {
		return !slices.ContainsFunc(patterns[j].Forms(), func(f urlmatch.Form) bool {
			return !slices.ContainsFunc(patterns[i].Forms(),
				func(by urlmatch.Form) bool { return by.Covers(f) })
		})
	}
}

// ruleNames looks for names of a rule that never come to it, or that it needn't deny.
func (c *checker) ruleNames(r *rule, tell tell) {
	if !r.allows() {
		c.deniedAnyway(r, tell)
		return
	}
	patterns := r.patterns
	if len(patterns) == 1 {
		return // never looks at rules as a whole.
	}
	for i, n := range r.match {
		if by := c.renamed([]names{n}); by != nil {
			from, to := by.Names()
			tell(EntryAliased, "match has %s, which the alias on line %d%s renames first, from %s to %s; "+
				"remove it, or write the name after the alias", patterns[i], by.Line(),
				ofFile(by.File(), r.File()), from, to)
		}
	}
}

// ruleEntries looks for entries in the lists of a rule that have no effect.
func (c *checker) ruleEntries(r *rule) {
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	if r.allows() {
		repeated("match", r.Patterns(), byName(r.Patterns()), tell)
	} else {
		repeated("match", r.Match, byDeniedName(r.Match), tell)
	}
	repeated("tags", r.Tags, byGlob(r.Tags, !r.allows()), tell)
	tellClients("clients", r.Clients, r.For(), r.allows(), tell)
	repeated("exceptTags", r.ExceptTags, byGlob(r.ExceptTags, r.allows()), tell)
	c.ruleNames(r, tell)
	if r.allows() && r.Versions == "" && len(r.Tags) > 0 {
		for _, except := range r.ExceptTags {
			if apartFrom(r, r, except) {
				tell(ExceptWithoutEffect, "exceptTags has %s, which tags doesn't list anyway; remove it",
					except)
			}
		}
	}
	o := &r.Options
	repeated("options.deny", o.Deny, byOption(o.Deny), tell)
	repeated("options.strip", o.Strip, byOption(o.Strip), tell)
	repeated("options.only", o.Only, byOption(o.Only), tell)
}

// allowsNothing looks for a policy that refuses every build. It needs the findings about all
// rules.
func (c *checker) allowsNothing() {
	if c.doc.Default == policy.ActionAllow || c.doc.Mode == policy.ModeWarn {
		return
	}
	dead := map[string]bool{}
	for _, f := range c.found {
		switch f.Code {
		case Expired, NeverMatches, OptionsContradict, Shadowed, AliasedAway, OutsideLimits:
			dead[f.Rule] = dead[f.Rule] || !f.inner
		}
	}
	for i := range c.rules {
		if c.rules[i].allows() && !dead[c.rules[i].Name] {
			return
		}
	}
	c.addf(AllowsNothing, "no rule allows anything, so every build is refused; write a rule that "+
		"allows frontends")
}

// namedLists looks for entries of name lists that another entry makes superfluous. Those of deny
// are as they are written.
func namedLists(field string, allow, deny []string, tell tell) {
	repeated(field+".allow", allow, byName(allow), tell)
	repeated(field+".deny", deny, byDeniedName(deny), tell)
}

func (u urls) repeated(tell tell) {
	for _, list := range []struct {
		field    string
		patterns []urlmatch.Pattern
	}{{"allow", u.allow}, {"deny", u.deny}} {
		texts := make([]string, len(list.patterns))
		for i, p := range list.patterns {
			texts[i] = p.Written()
		}
		repeated("build."+string(u.kind)+"."+list.field, texts, byURL(list.patterns), tell)
		if len(texts) <= maxEntries {
			u.byOthers(list.field, list.patterns, tell)
		}
	}
}

// byOthers looks for patterns that several others make superfluous, each for other schemes.
func (u urls) byOthers(field string, patterns []urlmatch.Pattern, tell tell) {
	covers := byURL(patterns)
	for j, p := range patterns {
		one := func(i int) bool { return i != j && covers(i, j) }
		var others []urlmatch.Form
		repeated := false
		for i, o := range patterns {
			repeated = repeated || one(i)
			if i != j && !covers(j, i) {
				others = append(others, o.Forms()...)
			}
		}
		if !repeated && coveredBySchemes(others, p) {
			tell(EntryRepeated, "build.%s.%s has %s, and other entries are for all of that; remove it",
				u.kind, field, p.Written())
		}
	}
}

func coveredBySchemes(by []urlmatch.Form, p urlmatch.Pattern) bool {
	for _, f := range p.Forms() {
		for _, scheme := range f.Schemes() {
			one := f.WithScheme(scheme)
			if !slices.ContainsFunc(by, func(o urlmatch.Form) bool { return o.Covers(one) }) {
				return false
			}
		}
	}
	return true
}

// local checks rules on directories of the client.
func (c *checker) local(b *buildrules.Rules, tell tell) {
	allow, deny := b.Local.Allow, b.Local.Deny
	if slices.ContainsFunc(allow, isAnyTag) && len(deny) == 0 {
		tell(BuildAllowsAny, "build.local allows every directory; name directories, or remove it")
	}
	repeated("build.local.allow", allow, byGlob(allow, false), tell)
	repeated("build.local.deny", deny, byGlob(deny, true), tell)
	refusedTexts("build.local.allow", allow, deny, tell)
	if len(allow) > 0 && !c.replaced(b, buildrules.KindLocal) {
		unlistedTexts("build.local.deny", allow, deny, tell)
	}
}

// refusedTexts looks for entries that deny covers. Letter case doesn't matter in deny.
func refusedTexts(field string, allow, deny []string, tell tell) {
	for _, a := range allow {
		if slices.ContainsFunc(deny, func(d string) bool { return coversText(d, a, true) }) {
			tell(BuildAllowRefused, "%s has %s, which deny refuses; remove one of the two", field, a)
		}
	}
}

// unlistedTexts looks for entries of deny that have nothing in common with allow.
func unlistedTexts(field string, allow, deny []string, tell tell) {
	for _, d := range deny {
		overlaps := func(a string) bool { return globs.Overlaps(globs.FoldASCII(a), globs.FoldASCII(d)) }
		if !slices.ContainsFunc(allow, overlaps) {
			tell(BuildDenyWithoutEffect, "%s has %s, which isn't allowed anyway; remove it", field, d)
		}
	}
}

// replaced reports whether these are the rules of the whole policy, and a rule may allow something
// else of the kind. What the policy denies then has an effect there.
func (c *checker) replaced(b *buildrules.Rules, k buildrules.Kind) bool {
	return b == c.doc.Build && slices.ContainsFunc(c.rules, func(r rule) bool {
		return r.Build != nil && r.Build.Has(k)
	})
}
