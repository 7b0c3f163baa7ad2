package diff

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// grant is what a field about results, build caches or SBOMs allows.
type grant struct {
	field       string
	allow, deny []string
	names       bool // these are patterns of names, and not plain globs
}

// grants returns what a policy allows of results, build caches and SBOMs, always for the same
// fields.
func grants(p *policy.Document) []grant {
	x, c := p.Exports, p.Caches
	if x == nil {
		x = &policy.Exports{}
	}
	if c == nil {
		c = &policy.Caches{}
	}
	out := []grant{
		{field: "exports.client", allow: x.ToClient()},
		repositories("exports.push", x.Push),
		repositories("exports.store", x.Store),
		{field: "exports.annotations", allow: x.Annotations},
	}
	for _, side := range []struct {
		field string
		rules *policy.CacheRules
	}{{"caches.imports", c.Imports}, {"caches.exports", c.Exports}} {
		rules := side.rules
		if rules == nil {
			rules = &policy.CacheRules{}
		}
		local := grant{field: side.field + ".local"}
		if rules.Local == policy.ActionAllow {
			local.allow = []string{"allow"}
		}
		out = append(out, repositories(side.field+".registry", rules.Registry), local)
	}
	s := p.SBOM
	if s == nil {
		s = &policy.SBOM{}
	}
	return append(out, repositories("sbom.generators", s.Generators))
}

func repositories(field string, r *policy.Repositories) grant {
	g := grant{field: field, names: true}
	if r != nil {
		g.allow, g.deny = r.Patterns()
	}
	return g
}

// resultStatements returns the differences in what the policies allow by [grants].
// These fields depend on nothing else, so what widens is known without samples. In doubt, it
// widens.
func resultStatements(a, b *policy.Document) []Statement {
	var out []Statement
	after := grants(b)
	for i, before := range grants(a) {
		now := after[i]
		if was, is := before.text(), now.text(); was != is {
			out = append(out, Statement{
				Widens: now.exceeds(before),
				Text:   now.field + ": " + is + ", before " + was,
			})
		}
	}
	return out
}

func (g grant) text() string {
	text := orNone(strings.Join(g.allow, ", "))
	if len(g.deny) > 0 && len(g.allow) > 0 {
		text += " without " + strings.Join(g.deny, ", ")
	}
	return text
}

// exceeds reports whether g allows something that o doesn't, as far as single entries show.
func (g grant) exceeds(o grant) bool {
	live := slices.DeleteFunc(slices.Clone(g.allow), func(p string) bool {
		return slices.ContainsFunc(g.deny, func(d string) bool { return g.covers(d, p) })
	})
	for _, p := range live {
		if !slices.ContainsFunc(o.allow, func(by string) bool { return g.covers(by, p) }) {
			return true
		}
		for _, d := range o.deny {
			if g.overlap(d, p) &&
				!slices.ContainsFunc(g.deny, func(by string) bool { return g.covers(by, d) }) {
				return true
			}
		}
	}
	return false
}

func (g grant) covers(big, small string) bool {
	if g.names {
		return globs.ParseImage(big).Covers(globs.ParseImage(small))
	}
	return globs.Covers(big, small)
}

func (g grant) overlap(a, b string) bool {
	if g.names {
		return globs.ParseImage(a).Overlaps(globs.ParseImage(b))
	}
	return globs.Overlaps(a, b)
}
