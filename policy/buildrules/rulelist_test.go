package buildrules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// The indexed rules for an image are those that the whole list has for it, in order. The other
// rules have no say: they don't match, and give no reason.
func TestIndexedImageRulesAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	names := []string{
		"a", "docker.io/b", "b/c", "x.example/a", "x.example:5000/a/b", "y.x.example/a",
		"x.example/a/b/c", "registry-1.docker.io/library/a", "10.1.2.3/a", "q.example/z",
	}
	patterns := append([]string{
		"**", "**/a", "b/**", "x.example/**", "x.example:*/a/*", "*.example/**", "*.x.example/a",
		"x.example/a*", "10.*.*.*/a", "x.example/**/b",
	}, names...)
	random := rand.New(rand.NewPCG(1, 2))
	some := func() string {
		var b strings.Builder
		b.WriteString("images: {rules: [")
		for i := range 1 + random.IntN(8) {
			action := []string{"allow", "deny"}[random.IntN(2)]
			fmt.Fprintf(&b, "{name: r%d, action: %s, match: [%q, %q], tags: [\"1\"]}, ", i, action,
				patterns[random.IntN(len(patterns))], patterns[random.IntN(len(patterns))])
		}
		b.WriteString("]}")
		return b.String()
	}
	found := 0
	for range 200 {
		own, problems := parse(t, some())
		require.Empty(t, problems)
		above, problems := parse(t, some())
		require.Empty(t, problems)
		top, problems := parse(t, some())
		require.Empty(t, problems)
		under := own.Under(above)
		twice := under.Under(top)
		for _, r := range []*ImageRules{own.Images, under.Images, twice.Images, {}} {
			for _, name := range names {
				ref, err := imageref.Parse(name)
				require.NoError(t, err)
				var want []*imagerules.Rule
				for _, rule := range r.Rules {
					if rule.Covers(ref.Pattern()) {
						want = append(want, rule)
						continue
					}
					s := imagerules.Subject{Ref: ref, Name: ref.Pattern()}
					require.Equal(t, imagerules.Match{}, rule.Apply(s))
				}
				got := slices.Collect(r.covering(ref.Pattern()))
				require.Len(t, got, len(want))
				for i := range want {
					require.Same(t, want[i], got[i], name)
				}
				found += len(got)
			}
		}
	}
	require.Greater(t, found, 1000)
}
