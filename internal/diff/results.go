package diff

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// grant is what a field about the whole builder allows.
type grant struct {
	field       string
	allow, deny []string
	names       bool // these are patterns of names, and not plain globs
	clients     bool // these are patterns of clients, and not plain globs
}

// grants returns what a policy allows of results and build caches, and whom it lets administrate
// the builder, always for the same fields.
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
	admins := grant{field: "administration.clients", clients: true}
	if p.Administration != nil {
		admins.allow = p.Administration.Clients
	}
	return append(out, admins)
}

func repositories(field string, r *policy.Repositories) grant {
	g := grant{field: field, names: true}
	if r != nil {
		g.allow, g.deny = r.Patterns()
	}
	return g
}

// grantStatements returns the differences in what [grants] returns for the policies. These fields
// depend on nothing else, so what widens is known without samples. In doubt, it widens.
func grantStatements(a, b *policy.Document) []Statement {
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
	if g.clients {
		return clientsCover(big, small)
	}
	return globs.Covers(big, small)
}

// clientsCover reports whether each client that small matches matches big. Both are of a policy, so
// they are valid.
func clientsCover(big, small string) bool {
	by, err := clients.ParsePattern(big)
	p, err2 := clients.ParsePattern(small)
	return err == nil && err2 == nil && by.Covers(p)
}

func (g grant) overlap(a, b string) bool {
	if g.names {
		return globs.ParseImage(a).Overlaps(globs.ParseImage(b))
	}
	return globs.Overlaps(a, b)
}
