package guard

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichBuildsShareALineage(t *testing.T) {
	t.Parallel()
	t.Run("one after another", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		s.done(first, true)
		require.Equal(t, first.id, s.take("a").id)
	})
	t.Run("not at once", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first, second := s.take("a"), s.take("a")
		require.NotEqual(t, first.id, second.id)
		s.done(second, true)
		s.done(first, true)
		require.Equal(t, first.id, s.take("a").id, "the one that ended last")
		require.Equal(t, second.id, s.take("a").id)
	})
	t.Run("not with something else in common", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		s.done(first, true)
		require.NotEqual(t, first.id, s.take("b").id)
	})
	t.Run("not after a refusal", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		s.spoil(first)
		s.done(first, true)
		require.NotEqual(t, first.id, s.take("a").id)
	})
	t.Run("not after an end that wasn't the daemon's", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		s.done(first, false)
		require.NotEqual(t, first.id, s.take("a").id)
	})
	t.Run("no guard's lineages are those of another", func(t *testing.T) {
		t.Parallel()
		var s, other lineages
		require.NotEqual(t, s.take("a").id, other.take("a").id)
	})
	t.Run("the warnings stay with the lineage, each once", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		require.True(t, s.warn(first, "one"))
		require.False(t, s.warn(first, "one"))
		require.True(t, s.warn(first, "two"))
		s.done(first, true)
		require.Equal(t, []string{"one", "two"}, s.warnings(s.take("a")))
		require.Empty(t, s.warnings(s.take("a")))
	})
	t.Run("a lineage with too many warnings ends", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a")
		for i := range maxLineageWarnings + 1 {
			require.True(t, s.warn(first, fmt.Sprint(i)))
		}
		require.Len(t, s.warnings(first), maxLineageWarnings)
		s.done(first, true)
		require.NotEqual(t, first.id, s.take("a").id)
	})
	t.Run("they are bounded", func(t *testing.T) {
		t.Parallel()
		var s lineages
		oldest := s.take("a")
		s.done(oldest, true)
		for i := range maxLineages {
			s.done(&lineage{id: fmt.Sprint(i), of: "b"}, true)
		}
		require.Len(t, s.free, maxLineages)
		require.NotEqual(t, oldest.id, s.take("a").id)
	})
}

// Whatever builds do: no two at once are in one lineage, no lineage changes what its builds have in
// common, and none comes again after a build that wasn't allowed everything or that didn't end by
// itself.
func TestLineagesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test that can be repeated
		var s lineages
		var running []*lineage
		over, of, warned := map[string]bool{}, map[string]string{}, map[string]int{}
		for range 500 {
			i := 0
			if len(running) > 0 {
				i = r.IntN(len(running))
			}
			switch n := r.IntN(10); {
			case n < 5 || len(running) == 0:
				l := s.take(fmt.Sprint(r.IntN(3)))
				for _, other := range running {
					require.NotEqual(t, other.id, l.id, "seed %d", seed)
				}
				require.False(t, over[l.id], "seed %d", seed)
				if before, known := of[l.id]; known {
					require.Equal(t, before, l.of, "seed %d", seed)
				}
				require.Len(t, s.warnings(l), warned[l.id], "seed %d", seed)
				of[l.id] = l.of
				running = append(running, l)
			case n == 5:
				s.spoil(running[i])
				over[running[i].id] = true
			case n == 6:
				if s.warn(running[i], fmt.Sprint(r.IntN(5))) {
					warned[running[i].id]++
				}
			default:
				clean := r.IntN(4) > 0
				s.done(running[i], clean)
				over[running[i].id] = over[running[i].id] || !clean
				running = append(running[:i], running[i+1:]...)
			}
		}
	}
}
