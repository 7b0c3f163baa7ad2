package diff

import (
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// If Compare says that nothing widened, no request is allowed by the second policy and
// denied by the first. A policy widens nothing of itself.
func TestNothingWidenedIsSo(t *testing.T) {
	t.Parallel()
	narrow := 0
	for seed := range uint64(16) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 2)).IntN)
		textA, a := arbitrary.Policy(choose)
		textB, b := arbitrary.Variant(choose, textA)
		require.False(t, Compare(a, a, arbitrary.Day(1)).Widened, textA)
		if Compare(a, b, arbitrary.Day(1)).Widened {
			continue
		}
		narrow++
		sideA, sideB := newSide(a), newSide(b)
		for range 1000 {
			request, points := arbitrary.Request(choose)
			before, after := ask(sideA, request, points), ask(sideB, request, points)
			require.False(t, after.Verdict.Permits() && !before.Verdict.Permits(),
				"seed %d\n%s\n---\n%s\n%+v\n%+v\n%+v", seed, textA, textB, request, before, after)
		}
	}
	require.Greater(t, narrow, 3, "else the property says nothing")
}

// What Compare shows as widened is: the request that it shows is allowed by the second
// policy and refused by the first, or allowed by both.
func TestWhatIsShownAsAllowedIs(t *testing.T) {
	t.Parallel()
	shown := 0
	for seed := range uint64(16) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 3)).IntN)
		textA, a := arbitrary.Policy(choose)
		textB, b := arbitrary.Variant(choose, textA)
		for _, d := range Compare(a, b, arbitrary.Day(1)).Differences {
			if d.Change != Allowed || d.Request.Reference == "" {
				continue
			}
			shown++
			ref, err := imageref.Parse(d.Request.Reference)
			require.NoError(t, err)
			r := policy.Request{
				Requested: d.Request.Reference, Reference: ref, Options: d.Request.Options,
				Inputs: d.Request.Inputs, Time: d.Request.Time,
			}
			points := digest.Digest(d.Request.Digest)
			if points == "" {
				points = ref.Digest()
			}
			require.False(t, ask(newSide(a), r, points).Verdict.Permits(), "seed %d\n%s\n---\n%s\n%+v", seed,
				textA, textB, d)
			require.True(t, ask(newSide(b), r, points).Verdict.Permits(), "seed %d\n%s\n---\n%s\n%+v", seed,
				textA, textB, d)
		}
	}
	require.Greater(t, shown, 2, "else the property says nothing")
}
