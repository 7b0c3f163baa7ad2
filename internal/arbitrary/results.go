package arbitrary

import (
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// guarded sets fields that are about the results of builds or for policy-guard alone: in a third of
// all policies, some.
func (choose Source) guarded(doc *policy.Document) {
	var from policy.Document
	if choose(3) == 0 {
		if text := choose.GuardedText(); text != "" {
			from = decode(text)
		}
	}
	doc.LLB, doc.Exports, doc.Caches = from.LLB, from.Exports, from.Caches
	doc.Debug = from.Debug
	doc.SBOM, doc.Administration = from.SBOM, from.Administration
	doc.Attest = from.Attest
}

// GuardedText returns the fields that are about the results of builds or for policy-guard alone, in
// YAML. It can be "".
func (choose Source) GuardedText() string {
	return choose.fields("\n", []maker{
		{2, func() string { return "llb: " + choose.permission() }},
		{2, func() string { return "exports: " + choose.exports() }},
		{2, func() string { return "caches: " + choose.caches() }},
		{3, func() string { return "debug: " + choose.permission() }},
		{4, func() string { return "sbom: {generators: " + choose.repositories() + "}" }},
		{4, func() string {
			return "attest: " + choose.one([]string{
				"true", "false", "[image]", "[warned]", "[warned, image]", "[]",
			})
		}},
		{5, func() string {
			return "administration: {clients: " + choose.pick(clientPatterns()...) + "}"
		}},
	})
}

// maker makes a field, once in a number of times.
type maker struct {
	chance int
	make   func() string
}

func (choose Source) fields(between string, makers []maker) string {
	var out []string
	for _, m := range makers {
		if choose(m.chance) == 0 {
			out = append(out, m.make())
		}
	}
	return strings.Join(out, between)
}

// mapping is fields as a mapping. It has at least one.
func (choose Source) mapping(makers []maker) string {
	text := choose.fields(", ", makers)
	if text == "" {
		text = makers[choose(len(makers))].make()
	}
	return "{" + text + "}"
}

func (choose Source) exports() string {
	return choose.mapping([]maker{
		{2, func() string {
			if choose(3) == 0 {
				return "client: []"
			}
			return "client: " + choose.words("oci", "docker", "tar", "local", "oci")
		}},
		{2, func() string { return "push: " + choose.repositories() }},
		{3, func() string { return "store: " + choose.repositories() }},
		{2, func() string {
			return "annotations: " + choose.one([]string{
				choose.words("k", "k*", "*x", "K*", "org.a", "vnd.docker.reference.type", "vnd.*", "*"),
				"true", "false", choose.pick("k", "kx", "org.*", "vnd.docker.*"), "[]",
			})
		}},
	})
}

func (choose Source) caches() string {
	rules := func() string {
		return choose.mapping([]maker{
			{1, func() string { return "registry: " + choose.repositories() }},
			{3, func() string { return "local: " + choose.permission() }},
		})
	}
	return choose.mapping([]maker{
		{2, func() string { return "imports: " + rules() }},
		{2, func() string { return "exports: " + rules() }},
	})
}

// permission returns whether something is allowed, or to whom.
func (choose Source) permission() string {
	return choose.one([]string{
		"allow", "allow", "deny", "{clients: " + choose.pick(clientPatterns()...) + "}",
	})
}

// words returns a list of the words, an allow and a deny of some, or several for some clients.
func (choose Source) words(words ...string) string {
	if choose(3) > 0 {
		return choose.pick(words...)
	}
	return choose.choices(func() string { return choose.pick(words...) })
}

// repositories returns an allow and a deny of names, or several for some clients.
func (choose Source) repositories() string {
	return choose.choices(func() string {
		return choose.pick("x", "m.example/**", "m.example/a/*", "**/y*", "x/y", "*.example/**",
			"m.example:80/a/b", "m.example:*/**", "**", "10.*.*.*/x", "m*.example/*/*", "m.example/a/b")
	})
}

func (choose Source) choices(list func() string) string {
	if choose(4) > 0 {
		return "{" + choose.choice(list) + "}"
	}
	var rules []string
	for range 1 + choose(3) {
		rule := choose.choice(list)
		if choose(3) > 0 {
			rule += ", clients: " + choose.pick(clientPatterns()...)
		}
		rules = append(rules, "{"+rule+"}")
	}
	return "[" + strings.Join(rules, ", ") + "]"
}

func (choose Source) choice(list func() string) string {
	switch choose(6) {
	case 0:
		return "allow: []"
	case 1:
		return "allow: [], deny: " + list()
	case 2, 3:
		return "allow: " + list()
	}
	return "allow: " + list() + ", deny: " + list()
}

// Export returns what a build wants to do with its result.
func Export(choose Source) policy.Export {
	e := policy.Export{Type: policy.ExportImage, Push: choose(2) == 0}
	if choose(3) == 0 {
		e = policy.Export{Type: choose.one([]string{"local", "tar", "oci", "docker", "future"})}
	}
	if choose(8) > 0 {
		for range 1 + choose(2) {
			e.Names = append(e.Names, choose.repository())
		}
	}
	for choose(3) == 0 {
		e.Annotations = append(e.Annotations, choose.one([]string{
			"k", "kx", "zx", "org.a", "org.b", "vnd.docker.reference.type", "VND.docker.reference.x",
			"vnd.a", "vnd.docker.b",
		}))
	}
	return e
}

// Cache returns a build cache that a build wants to use.
func Cache(choose Source) policy.CacheUse {
	u := policy.CacheUse{Type: policy.CacheRegistry, Export: choose(2) == 0, Name: choose.repository()}
	if choose(4) == 0 {
		u.Type = choose.one([]string{policy.CacheLocal, policy.CacheInline, "s3"})
	}
	return u
}

func (choose Source) repository() imageref.Reference {
	text := fmt.Sprintf("%s%s", choose.one([]string{
		"x", "y", "x/y", "x/y/z", "m.example/a/b", "m.example/a/y", "m.example/y2", "q.example/z",
		"m.example:80/a/b", "m.example:80/c", "a.m.example/x", "10.1.2.3/x", "mm.example/a/b",
	}), choose.one([]string{"", ":1"}))
	ref, err := imageref.Parse(text)
	if err != nil {
		panic(err)
	}
	return ref
}
