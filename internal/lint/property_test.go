package lint_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// A rule that is said to be dead decides no request, from the time of the check on.
func TestDeadRulesNeverDecide(t *testing.T) {
	t.Parallel()
	dead := []lint.Code{
		lint.Shadowed, lint.NeverMatches, lint.Expired, lint.AliasedAway,
		lint.OutsideLimits,
	}
	found := map[lint.Code]int{}
	for seed := range arbitrary.Seeds(100) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 1)).IntN)
		text, p := arbitrary.Policy(choose)
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		var rules []string
		for _, finding := range check("p", p, lint.Options{Time: arbitrary.Day(1)}) {
			if strings.HasPrefix(finding.Message, "build.images: ") {
				continue // It is about a rule in the build rules of the rule that it names.
			}
			if slices.Contains(dead, finding.Code) {
				rules = append(rules, finding.Rule)
				found[finding.Code]++
			}
		}
		if len(rules) == 0 {
			continue
		}
		for range 100 {
			r, tagDigest := arbitrary.Request(choose)
			layers := layers.For(arbitrary.Client(choose))
			d := policy.Decide(layers, r)
			if d.Verdict == policy.Undecidable {
				r.Digest = tagDigest
				d = policy.Decide(layers, r)
			}
			if d.Verdict != policy.Allow && imageref.DefaultHost(r.Reference) != r.Reference {
				continue // An alias doesn't rename other ports, and a deny rule is for them too.
			}
			require.NotContains(t, rules, d.Rule, "seed %d\n%s\n%+v\n%+v", seed, text, r, d)
		}
	}
	require.Len(t, found, len(dead), "each code has been there: %v", found)
}
