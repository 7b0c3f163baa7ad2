package lint_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy/lint"
)

// FuzzDeadRulesNeverDecide: a rule that is said to be dead decides no request, from
// the time of the check on.
func FuzzDeadRulesNeverDecide(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(seed)
	}
	dead := []lint.Code{lint.Shadowed, lint.NeverMatches, lint.Expired, lint.AliasedAway, lint.OutsideLimits}
	f.Fuzz(func(t *testing.T, seed uint64) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 1)).IntN)
		text, p := arbitrary.Policy(choose)
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		var rules []string
		for _, finding := range lint.Check("p", p, arbitrary.Day(1)) {
			if slices.Contains(dead, finding.Code) {
				rules = append(rules, finding.Rule)
			}
		}
		for range 200 {
			r, tagDigest := arbitrary.Request(choose)
			d := policy.Decide(layers, r)
			if d.Verdict == policy.Undecidable {
				if r.Digest = tagDigest; d.Reference.Digest() != "" {
					r.Digest, r.TagDigest = "", tagDigest
				}
				d = policy.Decide(layers, r)
			}
			require.NotContains(t, rules, d.Rule, "%s\n%+v\n%+v", text, r, d)
		}
	})
}
