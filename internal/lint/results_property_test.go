package lint_test

import (
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
)

// An entry about results or build caches that is said to have no effect has none, and one that no
// request can make matter has a finding.
func TestEntriesForPolicyGuardHaveAFindingIfTheyAreIdle(t *testing.T) {
	t.Parallel()
	named, entries := 0, 0
	for seed := range arbitrary.Seeds(80) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 17)).IntN)
		text := "version: 1\n" + choose.GuardedText() + "\n" + strings.TrimPrefix(head, "version: 1\n") +
			"- {match: [a/x]}\n"
		p, err := policy.Parse("p", []byte(text))
		require.NoError(t, err, text)
		var root yaml.Node
		require.NoError(t, yaml.Unmarshal([]byte(text), &root))
		found := lint.Check("p", p, lint.Options{Time: arbitrary.Day(1)})
		for _, e := range entriesOf(&root) {
			field, _, _ := strings.Cut(e.field, ".")
			if e.rule >= 0 || field != "exports" && field != "caches" && field != "sbom" {
				continue
			}
			entries++
			q, err := policy.Parse("p", []byte(e.without(text)))
			if err != nil {
				continue
			}
			says := slices.ContainsFunc(found, e.isNamed)
			if says {
				named++
			}
			if x := q.Document().Exports; e.field == "exports.store.allow" && !x.Store.AllowsSome() {
				continue // An image without a name is refused then, whatever deny lists.
			}
			shown, searched := diff.FindResult(p, q, 1_000_000)
			differ := wishesDiffer(choose, p, q, 300)
			matters := shown || differ
			if e.field == "exports.annotations" { // It may be that no result goes anywhere.
				shown = false
			}
			require.False(t, says && (shown || differ), "seed %d\n%s\n%+v\n%+v", seed, text, e, found)
			if !says && !matters && searched {
				inList := func(f lint.Finding) bool { // Of two that do the same, one has the finding.
					return strings.HasPrefix(f.Message, e.field+" has ") &&
						!slices.Contains([]lint.Code{lint.PrefixRunsOn, lint.BuildAllowsAny}, f.Code)
				}
				require.True(t, slices.ContainsFunc(found, inList), "seed %d\n%s\n%+v\n%+v", seed, text,
					e, found)
			}
		}
	}
	require.Greater(t, named, 50, "else the property says nothing")
	t.Logf("%d entries, %d with a finding", entries, named)
}

// wishesDiffer reports whether two policies answer one of some exports and uses of build caches
// differently.
func wishesDiffer(choose arbitrary.Source, a, b *policy.Policy, wishes int) bool {
	before, errA := policy.Stack(a, nil)
	after, errB := policy.Stack(b, nil)
	if errA != nil || errB != nil {
		return true
	}
	for range wishes {
		e, u := arbitrary.Export(choose), arbitrary.Cache(choose)
		by := arbitrary.Client(choose)
		before, after := before.For(by), after.For(by)
		if before.DecideExport(e).Verdict != after.DecideExport(e).Verdict ||
			before.DecideCache(u).Verdict != after.DecideCache(u).Verdict ||
			before.DecideGenerator(u.Name).Verdict != after.DecideGenerator(u.Name).Verdict {
			return true
		}
	}
	return false
}
