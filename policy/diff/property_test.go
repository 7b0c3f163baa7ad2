package diff

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/internal/arbitrary"
)

// FuzzNothingWidened: if Compare says that nothing widened, no request is allowed by
// the second policy and denied by the first. A policy widens nothing of itself.
func FuzzNothingWidened(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 2)).IntN)
		textA, a := arbitrary.Policy(choose)
		textB, b := arbitrary.Variant(choose, textA)
		require.False(t, Compare(a, a, arbitrary.Day(1)).Widened, textA)
		r := Compare(a, b, arbitrary.Day(1))
		if r.Widened {
			return
		}
		sideA, sideB := newSide(a), newSide(b)
		for range 1000 {
			request, points := arbitrary.Request(choose)
			before, after := ask(sideA, request, points), ask(sideB, request, points)
			require.False(t, permits(after) && !permits(before), "%s\n---\n%s\n%+v\n%+v\n%+v", textA, textB, request, before, after)
		}
	})
}
