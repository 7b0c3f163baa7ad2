package lint_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// item is an entry of a list, a key of a mapping of entries, or an alias, anywhere in a policy but
// in build rules.
type item struct {
	field string // such as options.deny
	text  string
	path  []int // the places among the children of each node from the root on
	lines [][2]int
}

// itemsOf returns the items of a document that are about frontends.
func itemsOf(text string) []item {
	return slices.DeleteFunc(itemsUnder(text, ""), func(e item) bool {
		return slices.ContainsFunc([]string{"build", "exports", "caches", "attest"},
			func(field string) bool { return strings.HasPrefix(e.field, field) })
	})
}

// itemsUnder returns the items of a document, or those that are in one of its fields.
func itemsUnder(text, only string) []item {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		panic(err)
	}
	var out []item
	var walk func(n *yaml.Node, field string, path []int, lines [][2]int)
	walk = func(n *yaml.Node, field string, path []int, lines [][2]int) {
		add := func(i int, child *yaml.Node) {
			out = append(out, item{
				field, child.Value, append(slices.Clone(path), i),
				append(slices.Clone(lines), [2]int{child.Line, child.Column}),
			})
		}
		switch n.Kind {
		case yaml.SequenceNode:
			for i, child := range n.Content {
				if child.Kind == yaml.ScalarNode || field == "aliases" {
					add(i, child)
				}
				if child.Kind != yaml.ScalarNode {
					below := strings.TrimPrefix(field, "frontends")
					walk(child, below, append(slices.Clone(path), i),
						append(slices.Clone(lines), [2]int{child.Line, child.Column}))
				}
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key, value := n.Content[i], n.Content[i+1]
				if key.Value == "build" && field+only == "" ||
					field == "" && !strings.HasPrefix(key.Value, only) {
					continue
				}
				if field == "aliases.pins" || field == "options.force" {
					add(i, key)
					continue
				}
				walk(value, strings.TrimPrefix(field+"."+key.Value, "."), append(slices.Clone(path), i+1),
					append(slices.Clone(lines), [2]int{key.Line, key.Column}))
			}
		}
	}
	walk(root.Content[0], "", nil, nil)
	return out
}

// removed returns the document without the item, and without a list that gets empty.
func (e item) removed(text string) string {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		panic(err)
	}
	nodes := []*yaml.Node{root.Content[0]}
	for _, i := range e.path[:len(e.path)-1] {
		nodes = append(nodes, nodes[len(nodes)-1].Content[i])
	}
	for depth := len(e.path) - 1; depth >= 0; depth-- {
		n, i := nodes[depth], e.path[depth]
		if n.Kind == yaml.SequenceNode {
			n.Content = slices.Delete(n.Content, i, i+1)
		} else {
			n.Content = slices.Delete(n.Content, i&^1, i&^1+2)
		}
		if len(n.Content) > 0 {
			break
		}
	}
	out, err := yaml.Marshal(&root)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// saysIdle are the codes of findings that say that an entry or a rule has no effect.
var saysIdle = []lint.Code{
	lint.EntryRepeated, lint.EntryWithoutEffect, lint.ExceptWithoutEffect, lint.EntryAliased,
	lint.DenyWithoutEffect, lint.OptionWithoutEffect, lint.AliasShadowed, lint.AliasWithoutEffect,
}

// covers reports whether a finding says that the item, or something that it is part of, doesn't do
// what it seems to.
func (e item) isCovered(found []lint.Finding) bool {
	return slices.ContainsFunc(found, func(f lint.Finding) bool {
		return f.Code == lint.AllowsNothing ||
			slices.Contains(e.lines, [2]int{f.Line, f.Column}) && (slices.Contains(saysIdle, f.Code) ||
				slices.Contains([]lint.Code{
					lint.AliasNotAllowed, lint.PinRefused, lint.NeverMatches, lint.Shadowed,
					lint.AliasedAway, lint.OutsideLimits, lint.Expired,
				}, f.Code))
	})
}

// requests are many requests about all that generated policies have.
func requests() []policy.Request {
	digests := []digest.Digest{digest.FromString("1"), digest.FromString("2"), digest.FromString("3")}
	tags := strings.Fields("1 1.4 1.5 1.5.0 1.50 1.5x 1.7 1.7.1 1.7.2 1.7-labs 1.7.1-labs 1.foo v1.7.1 " +
		"v1 v1.foo 2 2.x 2.0.0 latest main 1.7.0-rc1 2.0.0-rc1 1.7.1.2 1.7.1.3 2026.01 2026.3 " +
		"20261103120000 3 1-labs latest-labs LATEST 0 1.6 1.7.1-x")
	names := strings.Fields("a b a/x a/y a/xx a/b/c c.example/a/x c.example/b c.example/x " +
		"c.example/a/b/x d.example/x d.example/y c.example:80/x c.example:80/y c.example:81/x e.d.example/x " +
		"d.example:80/a 10.1.2.3/x q.test/z q.test:80/x c.example/a/y docker.io:80/a/x " +
		"registry-1.docker.io/a/x c.example:80/a/x")
	options := []map[string]string{nil}
	for _, k := range []string{
		"k", "kx", "ky", "l", "m", "y", "filename", "hostname", "context:b", "context:b:latest",
		"context:library/b", "context:b::linux/amd64", "context:z", "attest:sbom", "attest:provenance",
		"build-arg:HTTP_PROXY", "build-arg:https_proxy", "build-arg:HTTPS_PROXY", "build-arg:X",
		"build-arg:BUILDKIT_ATTEST_SBOM", "build-arg:BUILDKIT_SANDBOX_HOSTNAME", "no-cache",
	} {
		for _, v := range []string{"v", "w"} {
			options = append(options, map[string]string{k: v})
		}
	}
	platforms := []string{"", "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x"}
	var out []policy.Request
	add := func(text string, r policy.Request) {
		ref, err := imageref.Parse(text)
		if err != nil {
			panic(err)
		}
		r.Requested, r.Reference = text, ref
		out = append(out, r)
	}
	for _, name := range names {
		for n, tag := range append(tags, "") {
			text := strings.TrimSuffix(name+":"+tag, ":")
			for i, d := range digests {
				add(text, policy.Request{Digest: d, Time: arbitrary.Day(1)})
				add(text, policy.Request{Digest: d, Time: arbitrary.Day(2 + (n+i)%3)})
				if tag != "" {
					add(text+"@"+d.String(), policy.Request{Time: arbitrary.Day(1 + n%3), TagDigest: d})
					add(text+"@"+d.String(), policy.Request{Time: arbitrary.Day(1), TagDigest: digests[2]})
				}
			}
		}
		for n, tag := range []string{"", ":1.7.1", ":2", ":1", ":1.foo", ":v1.7.1", ":2026.3", ":1.5.0"} {
			for i, o := range options {
				r := policy.Request{Time: arbitrary.Day(1 + (n+i)/2%3), Digest: digests[(n+i)%3], Options: o}
				add(name+tag, r)
				if p := platforms[(n+i)%len(platforms)]; p != "" {
					r.Options = map[string]string{"platform": p}
					maps.Copy(r.Options, o)
					add(name+tag, r)
					r.TagDigest = digests[(n+i)%3]
					add(name+tag+"@"+r.TagDigest.String(), r)
				}
			}
			for _, p := range platforms {
				r := policy.Request{Time: arbitrary.Day(1), Digest: digests[0], Inputs: []string{"in"}}
				r.Options = map[string]string{"platform": p}
				if p == "" {
					r.Options = nil
				}
				add(name+tag, r)
				r.Inputs = nil
				add(name+tag, r)
			}
		}
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// answer has the parts of a decision that can differ for a user.
type answer struct {
	verdict             policy.Verdict
	rule, image, change string
}

func answerOf(d policy.Decision) answer {
	a := answer{verdict: d.Verdict}
	if d.Verdict.Permits() {
		a.rule, a.image = d.Rule, d.Image
		a.change = fmt.Sprint(d.Dispatch, d.Obligations.Strip, d.Obligations.Force)
	}
	return a
}

// ask decides as a build does: it looks a tag up only if the decision doesn't refuse it anyway.
func ask(l policy.Layers, r policy.Request) policy.Decision {
	known := r
	known.Digest, known.TagDigest = "", ""
	d := policy.Decide(l, known)
	switch {
	case d.Verdict == policy.Deny:
		return d
	case d.Reference.Digest() == "":
		known.Digest = r.Digest
	case d.TagUnverified:
		known.TagDigest = r.TagDigest
	}
	if known.Digest == "" && known.TagDigest == "" {
		return d
	}
	return policy.Decide(l, known)
}

// modesOf returns a policy and, if warns is set, the policy that it is once nothing only warns.
func modesOf(p *policy.Policy, warns bool) []*policy.Policy {
	if !warns {
		return []*policy.Policy{p}
	}
	return []*policy.Policy{p, p.WithMode(policy.ModeEnforce)}
}

// askers are clients who make the requests in turn.
var askers = func() (out []clients.Client) {
	choose := arbitrary.Source(rand.New(rand.NewPCG(1, 30)).IntN)
	for range 37 { // no divisor of how many requests there are for a name
		out = append(out, arbitrary.Client(choose))
	}
	return out
}()

// answersOf returns the answers of a policy in some modes.
func answersOf(all []policy.Request, modes []*policy.Policy) func(yield func(int, answer) bool) {
	return func(yield func(int, answer) bool) {
		for n, p := range modes {
			layers, err := policy.Stack(p, nil)
			if err != nil {
				panic(err)
			}
			layers = layers.Brief()
			for i, r := range all {
				by := askers[i%len(askers)]
				if !yield(n*len(all)+i, answerOf(ask(layers.For(by), r))) {
					return
				}
			}
		}
	}
}

// idle reports whether a policy has these answers in some modes.
func idle(all []policy.Request, before []answer, modes []*policy.Policy) bool {
	for i, a := range answersOf(all, modes) {
		if a != before[i] {
			return false
		}
	}
	return true
}

// aboutFrontends leaves out fields that another test is about, and gives each rule a name, so that
// rules can be removed.
func aboutFrontends(text string) string {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	root := doc.Content[0]
	for i := len(root.Content) - 2; i >= 0; i -= 2 {
		others := []string{"exports", "caches", "sbom", "administration", "debug", "attest"}
		if slices.Contains(others, root.Content[i].Value) {
			root.Content = slices.Delete(root.Content, i, i+2)
			continue
		}
		if root.Content[i].Value != "frontends" {
			continue
		}
		for n, r := range root.Content[i+1].Content {
			r.Content = append([]*yaml.Node{
				{Kind: yaml.ScalarNode, Value: "name"}, {Kind: yaml.ScalarNode, Value: fmt.Sprint("r", n)},
			}, r.Content...)
		}
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// concerning returns the requests without those that differ from others only in what the policy
// doesn't speak of.
func concerning(text string, all []policy.Request) []policy.Request {
	changes := strings.Contains(text, "expires:") || strings.Contains(text, "warnAfter:")
	options := strings.Contains(text, "options:") || strings.Contains(text, "platforms:")
	return slices.DeleteFunc(slices.Clone(all), func(r policy.Request) bool {
		return !changes && !r.Time.Equal(arbitrary.Day(1)) || !options && len(r.Options)+len(r.Inputs) > 0
	})
}

// withoutRule returns the document without a rule.
func withoutRule(text, name string) string {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		if list := root.Content[i+1]; root.Content[i].Value == "frontends" {
			list.Content = slices.DeleteFunc(list.Content, func(r *yaml.Node) bool {
				return r.Content[1].Value == name // named wrote it there.
			})
		}
	}
	out, err := yaml.Marshal(&doc)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// isDead reports whether a finding says that a rule has no effect.
func isDead(f lint.Finding) bool {
	switch f.Code {
	case lint.NeverMatches, lint.Shadowed, lint.OutsideLimits, lint.Expired:
		return !strings.HasPrefix(f.Message, "build.images: ")
	case lint.EntryWithoutEffect, lint.DenyWithoutEffect:
		return strings.HasPrefix(f.Message, "the rule has no effect")
	}
	return false
}

// sampled reports whether a request that package diff makes from two policies has different
// answers in one of some modes.
func sampled(p, q []*policy.Policy) bool {
	for i := range p {
		base := diff.NewBase(p[i], arbitrary.Day(1))
		found, _, _ := base.Find(q[i], 10_000_000, func(a, b policy.Decision) bool {
			return answerOf(a) != answerOf(b)
		})
		if found {
			return true
		}
	}
	return false
}

// swept is what a sweep finds.
type swept struct {
	missed []string // items that are idle without a finding
	wrong  []string // items and rules that aren't idle in spite of one
	found  int      // items and rules that are idle and have a finding
	cut    bool     // lint says that it hasn't tried all items
}

// sweep checks the items of a policy. It removes what has a finding, until nothing has.
func sweep(seed uint64, all []policy.Request) swept {
	choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 12)).IntN)
	text, _ := arbitrary.Policy(choose)
	text = aboutFrontends(text)
	all = concerning(text, all)
	var out swept
	for out.step(seed, &text, all) {
		out.found++
	}
	return out
}

// step removes one item, or one rule, that has a finding. It is false if there is none; only then,
// it looks for what is missed.
func (s *swept) step(seed uint64, text *string, all []policy.Request) bool {
	p, err := policy.Parse("p", []byte(*text))
	if err != nil {
		panic(err)
	}
	found := lint.Check("p", p, lint.Options{
		Time: arbitrary.Day(1), Source: func(string) ([]byte, error) { return []byte(*text), nil },
	})
	warns := strings.Contains(*text, "mode: warn")
	var before []answer
	isIdle := func(q *policy.Policy) bool {
		was, is := modesOf(p, warns), modesOf(q, warns)
		if sampled(was, is) {
			return false
		}
		if before == nil {
			for _, a := range answersOf(all, was) {
				before = append(before, a)
			}
		}
		return idle(all, before, is)
	}
	told := map[string]bool{}
	// remove takes what a finding is about out of the policy. It is false if that is no policy.
	remove := func(without, what string, f lint.Finding) bool {
		q, err := policy.Parse("p", []byte(without))
		if err != nil || told[what] {
			return false
		}
		told[what] = true
		if !isIdle(q) {
			s.wrong = append(s.wrong, fmt.Sprintf("%s\nseed %d\n%s\n%+v", what, seed, *text, f))
			return false
		}
		*text = without
		return true
	}
	for _, f := range found {
		if isDead(f) && remove(withoutRule(*text, f.Rule), f.Rule, f) {
			return true
		}
	}
	var others []item // without a finding of their own
	for _, e := range itemsOf(*text) {
		if e.field == "limits.match" {
			continue // Limits hold rules that are yet to come.
		}
		says := slices.IndexFunc(found, func(f lint.Finding) bool {
			return slices.Contains(saysIdle, f.Code) &&
				!strings.Contains(f.Message, "only its pins count") &&
				[2]int{f.Line, f.Column} == e.lines[len(e.lines)-1]
		})
		if says < 0 {
			others = append(others, e)
			continue
		}
		what := fmt.Sprint(e.field, " ", e.text, e.path)
		if remove(e.removed(*text), what, found[says]) ||
			e.field == "match" && remove(withoutRule(*text, found[says].Rule), what, found[says]) {
			return true
		}
	}
	untried := func(f lint.Finding) bool { return f.Code == lint.EntriesNotTried }
	if s.cut = slices.ContainsFunc(found, untried); s.cut {
		return false
	}
	for _, e := range others {
		q, err := policy.Parse("p", []byte(e.removed(*text)))
		if err == nil && !e.isCovered(found) && isIdle(q) {
			s.missed = append(s.missed, fmt.Sprintf("%s %s\nseed %d\n%s\n", e.field, e.text, seed, *text))
		}
	}
	return false
}

// An entry, or a rule, that is said to have no effect has none. Each entry that has none is said
// to, or lint says that it hasn't tried all of them.
func TestIdleEntriesHaveAFinding(t *testing.T) {
	t.Parallel()
	all := requests()
	all = all[:len(all)/10] // Samples show most of what matters.
	found, policies, cut := 0, 0, 0
	for seed := range arbitrary.Seeds(18) {
		s := sweep(seed, all)
		policies++
		if s.cut {
			cut++
		}
		require.Empty(t, s.wrong)
		require.Empty(t, s.missed)
		found += s.found
	}
	require.Greater(t, found, 50, "else the property says nothing")
	require.LessOrEqual(t, cut, policies/20, "else the property says little")
	t.Logf("%d policies, %d idle entries with a finding, %d policies not tried whole", policies, found, cut)
}

// imagesText returns a policy whose rules on images are the rules of another policy.
func imagesText(text string) string {
	var doc struct {
		Frontends []map[string]any `yaml:"frontends"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(err)
	}
	for _, r := range doc.Frontends {
		for _, key := range []string{"options", "dispatch", "build", "platforms"} {
			delete(r, key)
		}
		if r["action"] != "deny" {
			delete(r, "mode")
		}
	}
	out, err := yaml.Marshal(map[string]any{
		"version": 1, "dispatch": "mediate",
		"frontends": []any{map[string]any{"match": []string{"docker/dockerfile"}}},
		"build":     map[string]any{"others": "deny", "images": doc.Frontends},
	})
	if err != nil {
		panic(err)
	}
	return string(out)
}

// An entry of rules on images that is said to have no effect has none.
func TestEntriesOfImageRulesWithAFindingAreIdle(t *testing.T) {
	t.Parallel()
	all := requests()
	all = all[:len(all)/8]
	found := 0
	for seed := range arbitrary.Seeds(30) {
		found += idleInImages(t, seed, all)
	}
	require.Greater(t, found, 20, "else the property says nothing")
}

func idleInImages(t *testing.T, seed uint64, all []policy.Request) int {
	t.Helper()
	made, _ := arbitrary.Policy(rand.New(rand.NewPCG(seed, 13)).IntN)
	text := imagesText(aboutFrontends(made))
	p, err := policy.Parse("p", []byte(text))
	require.NoError(t, err)
	answers := func(p *policy.Policy) []string {
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		ref, err := imageref.Parse("docker/dockerfile:1")
		require.NoError(t, err)
		var out []string
		for i, r := range all {
			if i%4 == 0 {
				d := policy.Decide(layers.For(askers[i/4%len(askers)]),
					policy.Request{Reference: ref, Time: arbitrary.Day(1)})
				require.True(t, d.Verdict.Permits())
				a := d.CheckTag(buildrules.Operation{Image: r.Requested}, r.TagDigest)
				out = append(out, fmt.Sprint(a.Verdict, a.Image))
			}
		}
		return out
	}
	before := answers(p)
	found := 0
	for _, f := range lint.Check("p", p, lint.Options{
		Time: arbitrary.Day(1), Source: func(string) ([]byte, error) { return []byte(text), nil },
	}) {
		for _, e := range itemsUnder(text, "build") {
			if !slices.Contains(saysIdle, f.Code) || [2]int{f.Line, f.Column} != e.lines[len(e.lines)-1] {
				continue
			}
			found++
			if q, err := policy.Parse("p", []byte(e.removed(text))); err == nil {
				require.Equal(t, before, answers(q), "seed %d\n%s\n%+v", seed, text, f)
			}
		}
	}
	return found
}
