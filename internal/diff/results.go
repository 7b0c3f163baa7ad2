package diff

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// exampleBudget is the work for the examples of one field about names.
const exampleBudget = 200_000

// grant is what a field about the whole builder allows.
type grant struct {
	field       string
	allow, deny []string
	names       bool // these are patterns of names, and not plain globs
	single      bool // it is about one thing, which allow has or not
	clients     bool // these are patterns of clients, and not plain globs
	nameless    bool // what has no name is allowed too
	// asked describes what a build wants if it wants an example of an entry, and ask returns the
	// ruling on it. Without ask, there are no examples.
	asked string
	ask   func(l policy.Layers, example string) policy.Ruling
}

// grants returns what a policy allows of results, build caches and SBOMs, whom it lets administrate
// the builder, whether clients run containers, and which builds have summaries, always for the same
// fields.
func grants(p *policy.Document, by clients.Client) []grant {
	x, c := p.Exports, p.Caches
	if x == nil {
		x = &policy.Exports{}
	}
	if c == nil {
		c = &policy.Caches{}
	}
	image := func(push bool) func(policy.Layers, string) policy.Ruling {
		e := policy.Export{Type: policy.ExportImage, Push: push}
		named := byName(func(l policy.Layers, ref imageref.Reference) policy.Ruling {
			e := e
			e.Names = []imageref.Reference{ref}
			return l.DecideExport(e)
		})
		return func(l policy.Layers, name string) policy.Ruling {
			if name == "" {
				return l.DecideExport(e)
			}
			return named(l, name)
		}
	}
	store := repositories("exports.store", x.Store, by,
		"an image in the builder's own image store as ", image(false))
	store.nameless = len(store.allow) > 0
	out := []grant{
		choices("exports.client", x.ToClient(), by, "a result for the client of the type ",
			func(l policy.Layers, kind string) policy.Ruling {
				return l.DecideExport(policy.Export{Type: kind})
			}),
		repositories("exports.push", x.Push, by, "a push to ", image(true)),
		store,
		choices("exports.annotations", x.Annotations, by, "a result with the annotation ",
			annotated(x.Annotations, by)),
	}
	for _, side := range []struct {
		field, verb string
		export      bool
		rules       *policy.CacheRules
	}{
		{"caches.imports", "the import of ", false, c.Imports},
		{"caches.exports", "the export of ", true, c.Exports},
	} {
		rules := side.rules
		if rules == nil {
			rules = &policy.CacheRules{}
		}
		local := permission(side.field+".local", rules.Local, by,
			side.verb+"a build cache in a directory of the client", func(l policy.Layers) policy.Ruling {
				return l.DecideCache(policy.CacheUse{Export: side.export, Type: policy.CacheLocal})
			})
		out = append(out, repositories(side.field+".registry", rules.Registry, by,
			side.verb+"the build cache ", byName(
				func(l policy.Layers, ref imageref.Reference) policy.Ruling {
					return l.DecideCache(policy.CacheUse{
						Export: side.export, Type: policy.CacheRegistry, Name: ref,
					})
				})), local)
	}
	s := p.SBOM
	if s == nil {
		s = &policy.SBOM{}
	}
	out = append(out, repositories("sbom.generators", s.Generators, by, "an SBOM by ",
		byName(policy.Layers.DecideGenerator)))
	admins := grant{field: "administration.clients", clients: true}
	if p.Administration != nil {
		admins.allow = p.Administration.Clients
	}
	return append(out, admins, permission("debug", p.Debug, by,
		"a container that a client runs by itself", policy.Layers.DecideDebug),
		grant{field: "attest", allow: p.Attest})
}

// byName returns what gives the ruling on an example of a name.
func byName(
	decide func(policy.Layers, imageref.Reference) policy.Ruling,
) func(policy.Layers, string) policy.Ruling {
	return func(l policy.Layers, name string) policy.Ruling {
		ref, err := imageref.Parse(name)
		if err != nil { // It is no name then, and as good as another that both refuse.
			return policy.Ruling{Verdict: policy.Deny}
		}
		return decide(l, ref)
	}
}

// annotated returns what gives the ruling on a result with an annotation. Where results may go
// doesn't matter to it, so that its examples are about annotations alone.
func annotated(
	keys *policy.Choices, by clients.Client,
) func(policy.Layers, string) policy.Ruling {
	var alone policy.Layers // refuse everything
	text, err := yaml.Marshal(policy.Document{
		Version: policy.Version, Exports: &policy.Exports{
			Annotations: keys, Push: &policy.Choices{Choice: policy.Choice{Allow: []string{}}},
		},
	})
	if err == nil {
		if p, err := policy.Parse("annotations", text); err == nil { // They were parsed before.
			alone, _ = policy.Stack(p, nil)
			alone = alone.For(by)
		}
	}
	return func(_ policy.Layers, key string) policy.Ruling {
		return alone.DecideExport(policy.Export{Type: "oci", Annotations: []string{key}})
	}
}

func repositories(
	field string, r *policy.Choices, by clients.Client, asked string,
	ask func(policy.Layers, string) policy.Ruling,
) grant {
	g := choices(field, r, by, asked, ask)
	g.names = true
	return g
}

func choices(
	field string, r *policy.Choices, by clients.Client, asked string,
	ask func(policy.Layers, string) policy.Ruling,
) grant {
	g := grant{field: field, asked: asked, ask: ask}
	g.allow, g.deny = r.PatternsFor(by)
	return g
}

func permission(
	field string, a *policy.Permission, by clients.Client, asked string,
	ask func(policy.Layers) policy.Ruling,
) grant {
	g := grant{
		field: field, single: true, asked: asked,
		ask: func(l policy.Layers, _ string) policy.Ruling { return ask(l) },
	}
	if a.Allows(by) {
		g.allow = []string{"allow"}
	}
	return g
}

// grantStatements returns the differences in what [grants] returns for the policies, with an
// example for each direction. These fields depend on nothing else, so what widens is known without
// samples. In doubt, it widens.
func (c *comparison) grantStatements() []Statement {
	var out []Statement
	after := grants(&c.b.Document, c.b.client)
	sub := *c // Its samples are of other patterns, and what widens is known without them.
	for i, before := range grants(&c.a.Document, c.a.client) {
		now := after[i]
		if was, is := before.text(), now.text(); was != is {
			out = append(out, Statement{
				Widens: now.exceeds(before), Text: now.field + ": " + is + ", before " + was,
				Examples: sub.examplesOf(before, now),
			})
		}
	}
	c.exampled = sub.complete
	return out
}

// examplesOf returns something that is newly allowed, and something that is newly refused, as far
// as samples show any.
func (c *comparison) examplesOf(before, now grant) []Example {
	if now.ask == nil { // a pattern of clients says itself who it is about
		return nil
	}
	patterns := slices.Concat(now.allow, now.deny, before.allow, before.deny)
	c.fresh, _ = globs.Fresh(patterns)
	c.deep = depth(patterns) + 1
	left := c.budget
	c.budget = min(c.budget, exampleBudget)
	defer func() { c.budget = left }()
	found := map[Change]Example{}
	try := func(sample string) bool {
		was, is := before.ask(c.a.layers, sample), now.ask(c.b.layers, sample)
		change, what := Allowed, sample
		if now.names && sample == "" {
			what = "one without a name"
		}
		switch was.Verdict {
		case is.Verdict:
			return true
		case policy.Allow:
			change = Refused
		}
		if _, ok := found[change]; !ok {
			found[change] = Example{
				Change: change, Asked: now.asked + what, Before: answerOf(was), After: answerOf(is),
			}
		}
		return len(found) < 2
	}
	switch {
	case now.names:
		a, b := before.ruleset(), now.ruleset()
		c.newSearch(a, b, func(s subject, _ string) bool { return try(s.name) }).run(false)
		if before.nameless != now.nameless && len(found) == 0 {
			try("")
		}
	case now.single:
		try("")
	default:
		samples := c.meets(slices.Compact(slices.Sorted(slices.Values(patterns))))
		samples = append(samples, c.foldedMeets(slices.Concat(now.allow, before.allow),
			slices.Concat(now.deny, before.deny))...)
		for _, g := range samples {
			if !try(globs.Example(g, c.fresh)) {
				break
			}
		}
	}
	var out []Example
	for _, change := range []Change{Allowed, Refused} {
		if e, ok := found[change]; ok {
			out = append(out, e)
		}
	}
	return out
}

// foldedMeets returns the overlaps of the allowed globs with the denied ones, for which letter case
// doesn't matter.
func (c *comparison) foldedMeets(allow, deny []string) []string {
	var out []string
	for _, a := range allow {
		for _, d := range deny {
			if !c.spend(meetWork) {
				return out
			}
			forms, ok := globs.Name{globs.FoldASCII(d)}.MeetFold(globs.Name{a})
			c.complete = c.complete && ok
			for _, f := range forms {
				out = append(out, f.String())
			}
		}
	}
	return out
}

func answerOf(r policy.Ruling) RulingAnswer {
	return RulingAnswer{Verdict: r.Verdict, Rule: r.Rule, Reason: r.Reason}
}

// ruleset returns the patterns for a search of samples.
func (g grant) ruleset() *ruleset {
	s := &ruleset{}
	for _, p := range g.allow {
		s.add(nil, "allow "+p, p)
	}
	for _, p := range g.deny {
		s.add(nil, "deny "+p, p)
	}
	s.complete()
	return s
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
	if g.nameless && !o.nameless {
		return true
	}
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

// clientsCover reports whether big matches each client that small does. Both are of a policy, so
// they're valid.
func clientsCover(big, small string) bool {
	by, err := clients.ParsePattern(big)
	p, err2 := clients.ParsePattern(small)
	return err == nil && err2 == nil && by.Covers(p)
}

func (g grant) overlap(a, b string) bool {
	if g.names {
		return globs.ParseImage(a).Overlaps(globs.ParseImage(b))
	}
	return globs.Overlaps(globs.FoldASCII(a), globs.FoldASCII(b)) // one of them is denied in any case
}
