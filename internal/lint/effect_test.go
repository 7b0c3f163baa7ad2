package lint_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// entry is an entry of a list in a policy.
type entry struct {
	rule  int    // -1 for one of the whole policy
	field string // such as build.images.deny
	index int
	text  string
}

// entriesOf returns the entries of all lists of a document.
func entriesOf(root *yaml.Node) []entry {
	var out []entry
	var walk func(n *yaml.Node, rule int, path string)
	walk = func(n *yaml.Node, rule int, path string) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i].Value, n.Content[i+1]
			at := strings.TrimPrefix(path+"."+key, ".")
			switch {
			case at == "frontends":
				for r, item := range value.Content {
					walk(item, r, "")
				}
			case value.Kind == yaml.MappingNode:
				walk(value, rule, at)
			case value.Kind == yaml.SequenceNode:
				for e, item := range value.Content {
					if item.Kind == yaml.ScalarNode {
						out = append(out, entry{rule, at, e, item.Value})
					}
				}
			}
		}
	}
	walk(root.Content[0], -1, "")
	return out
}

// without returns the document without the entry, and without a list of refusals that gets empty.
func (e entry) without(text string) string {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		panic(err)
	}
	at := root.Content[0]
	child := func(n *yaml.Node, key string) int {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return i
			}
		}
		panic(key)
	}
	if e.rule >= 0 {
		at = at.Content[child(at, "frontends")+1].Content[e.rule]
	}
	keys := strings.Split(e.field, ".")
	for _, key := range keys[:len(keys)-1] {
		at = at.Content[child(at, key)+1]
	}
	last := keys[len(keys)-1]
	i := child(at, last)
	list := at.Content[i+1]
	list.Content = slices.Delete(list.Content, e.index, e.index+1)
	isAllowance := last == "allow" || last == "client" ||
		strings.HasPrefix(e.field, "build.exec.") && !strings.HasPrefix(e.field, "build.exec.deny.")
	if len(list.Content) == 0 && !isAllowance {
		at.Content = slices.Delete(at.Content, i, i+2)
	}
	out, err := yaml.Marshal(&root)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// isNamed reports whether a finding says that the entry has no effect.
func (e entry) isNamed(f lint.Finding) bool {
	switch f.Code {
	case lint.EntryRepeated, lint.ExceptWithoutEffect, lint.BuildAllowRefused, lint.EntryRefused,
		lint.BuildDenyWithoutEffect, lint.EntryAliased, lint.DenyWithoutEffect, lint.EntryWithoutEffect:
	default:
		return false
	}
	if e.rule < 0 && f.Rule != "" || e.rule >= 0 && f.Rule != fmt.Sprintf("frontends[%d]", e.rule) {
		return false
	}
	texts := []string{e.text}
	if p, err := imageref.ParsePattern(e.text); err == nil {
		texts = append(texts, p.String())
	}
	field := strings.TrimSuffix(e.field, ".require")
	return slices.ContainsFunc(texts, func(s string) bool {
		return strings.HasPrefix(f.Message, e.field+" has "+s+",") ||
			strings.HasPrefix(f.Message, field+" requires ") && strings.Contains(f.Message, s)
	})
}

// differ reports whether the policies answer one of some requests or operations differently.
func differ(choose arbitrary.Source, a, b *policy.Policy) bool {
	before, errA := policy.Stack(a, nil)
	after, errB := policy.Stack(b, nil)
	if errA != nil || errB != nil {
		return true
	}
	for range 300 {
		r, points := arbitrary.Request(choose)
		r.Digest = points
		by := arbitrary.Client(choose)
		was, is := policy.Decide(before.For(by), r), policy.Decide(after.For(by), r)
		if was.Verdict != is.Verdict || was.Image != is.Image {
			return true
		}
		for range 5 {
			o := arbitrary.Operation(choose)
			x, y := was.Check(o), is.Check(o)
			if was.Verdict.Permits() && (x.Verdict != y.Verdict || x.Image != y.Image) {
				return true
			}
		}
	}
	return false
}

// An entry that is said to have no effect has none: without it, all requests have the same answers.
func TestEntriesSaidToHaveNoEffectHaveNone(t *testing.T) {
	t.Parallel()
	found := map[lint.Code]int{}
	for seed := range arbitrary.Seeds(60) {
		for _, f := range saidToHaveNoEffect(t, seed) {
			found[f.Code]++
		}
	}
	for _, code := range []lint.Code{
		lint.EntryRepeated, lint.ExceptWithoutEffect, lint.BuildAllowRefused,
		lint.BuildDenyWithoutEffect, lint.EntryAliased, lint.DenyWithoutEffect,
	} {
		require.Positive(t, found[code], "%s has been there: %v", code, found)
	}
}

func saidToHaveNoEffect(t *testing.T, seed uint64) []lint.Finding {
	t.Helper()
	choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 5)).IntN)
	text, p := arbitrary.Policy(choose)
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &root))
	var out []lint.Finding
	for _, f := range lint.Check("p", p, lint.Options{Time: arbitrary.Day(1)}) {
		for _, e := range entriesOf(&root) {
			if !e.isNamed(f) {
				continue
			}
			out = append(out, f)
			q, err := policy.Parse("p", []byte(e.without(text)))
			if err != nil {
				continue // A kind without any field is a mistake.
			}
			require.False(t, differ(choose, p, q), "seed %d\n%s\n%+v\n%+v", seed, text, e, f)
			break
		}
	}
	return out
}

// An entry of build rules that no request or operation can make matter has a finding about its
// kind.
func TestEntriesOfBuildRulesWithoutEffectHaveAFinding(t *testing.T) {
	t.Parallel()
	idle := 0
	for seed := range arbitrary.Seeds(100) {
		idle += withoutEffect(t, seed)
	}
	require.Greater(t, idle, 20, "else the property says nothing")
}

// withoutEffect returns how many entries of a policy have no effect.
func withoutEffect(t *testing.T, seed uint64) int {
	t.Helper()
	choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 7)).IntN)
	rules := choose.BuildText()
	if rules == "" {
		return 0
	}
	text := head + "- {match: [a/x], dispatch: mediate, build: {" + rules + "}}\n"
	p, err := policy.Parse("p", []byte(text))
	require.NoError(t, err)
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &root))
	found := lint.Check("p", p, lint.Options{Time: arbitrary.Day(1)})
	idle := 0
	for _, e := range entriesOf(&root) {
		parts := strings.Split(e.field, ".")
		if parts[0] != "build" {
			continue
		}
		q, err := policy.Parse("p", []byte(e.without(text)))
		if err != nil || matters(p, q) || differ(choose, p, q) {
			continue
		}
		idle++
		require.True(t, slices.ContainsFunc(found, func(f lint.Finding) bool {
			return strings.HasPrefix(f.Message, "build."+parts[1])
		}), "seed %d\n%s\n%+v\n%v", seed, text, e, found)
	}
	return idle
}

// matters reports whether samples have other answers without an entry.
func matters(a, b *policy.Policy) bool {
	r := diff.Compare(a, b, arbitrary.Day(1))
	return len(r.Differences) > 0 || !r.Complete || len(r.Uncompared) > 0
}
