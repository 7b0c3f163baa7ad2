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
		first := s.take("a", nil)
		s.done(first, nil)
		require.Equal(t, first.id, s.take("a", nil).id)
	})
	t.Run("not at once", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first, second := s.take("a", nil), s.take("a", nil)
		require.NotEqual(t, first.id, second.id)
		s.done(second, nil)
		s.done(first, nil)
		require.Equal(t, first.id, s.take("a", nil).id, "the one that ended last")
		require.Equal(t, second.id, s.take("a", nil).id)
	})
	t.Run("not with something else in common", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a", nil)
		s.done(first, nil)
		require.NotEqual(t, first.id, s.take("b", nil).id)
	})
	t.Run("not after a refusal", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a", nil)
		s.spoil(first, errNotServed, nil)
		s.done(first, nil)
		require.NotEqual(t, first.id, s.take("a", nil).id)
	})
	t.Run("not after an end that wasn't the daemon's", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a", nil)
		s.spoil(first, errNotServed, nil)
		s.done(first, nil)
		require.NotEqual(t, first.id, s.take("a", nil).id)
	})
	t.Run("no guard's lineages are those of another", func(t *testing.T) {
		t.Parallel()
		var s, other lineages
		require.NotEqual(t, s.take("a", nil).id, other.take("a", nil).id)
	})
	t.Run("the warnings stay with the lineage, each once", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a", nil)
		require.True(t, s.warn(first, "one"))
		require.False(t, s.warn(first, "one"))
		require.True(t, s.warn(first, "two"))
		s.done(first, nil)
		require.Equal(t, []string{"one", "two"}, s.warnings(s.take("a", nil)))
		require.Empty(t, s.warnings(s.take("a", nil)))
	})
	t.Run("a lineage with too many warnings ends", func(t *testing.T) {
		t.Parallel()
		var s lineages
		first := s.take("a", nil)
		for i := range maxLineageWarnings + 2 {
			require.True(t, s.warn(first, fmt.Sprint(i)))
		}
		all := s.warnings(first)
		require.Len(t, all, maxLineageWarnings+1)
		require.Equal(t, moreLineageWarnings, all[maxLineageWarnings])
		s.done(first, nil)
		require.NotEqual(t, first.id, s.take("a", nil).id)
	})
	t.Run("they are bounded", func(t *testing.T) {
		t.Parallel()
		var s lineages
		oldest := s.take("a", nil)
		s.done(oldest, nil)
		for i := range maxLineages {
			s.done(&lineage{id: fmt.Sprint(i), of: "b"}, nil)
		}
		require.Len(t, s.free, maxLineages)
		require.NotEqual(t, oldest.id, s.take("a", nil).id)
	})
}

// Whatever builds do: no two at once are in one lineage, no lineage changes what its builds have in
// common, and none comes again after a build that wasn't allowed everything or that didn't end by
// itself.
func TestLineagesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
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
				l := s.take(fmt.Sprint(r.IntN(3)), nil)
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
				s.spoil(running[i], errNotServed, nil)
				over[running[i].id] = true
			case n == 6:
				if s.warn(running[i], fmt.Sprint(r.IntN(5))) {
					warned[running[i].id]++
				}
			default:
				clean := r.IntN(4) > 0
				if !clean {
					s.spoil(running[i], errNotServed, nil)
				}
				s.done(running[i], nil)
				over[running[i].id] = over[running[i].id] || !clean
				running = append(running[:i], running[i+1:]...)
			}
		}
	}
}

// stopped is a build that notes why it was stopped.
type stopped struct{ why error }

func (s *stopped) stop(why error) { s.why = why }

func TestBuildsThatUseResultsOfAnotherLineage(t *testing.T) {
	t.Parallel()
	t.Run("they need the same in common", func(t *testing.T) {
		t.Parallel()
		var s lineages
		l := s.take("a", &stopped{})
		require.True(t, s.join(l, "a", &stopped{}))
		require.False(t, s.join(l, "b", &stopped{}))
	})
	t.Run("they end with what spoils it, and further ones don't begin", func(t *testing.T) {
		t.Parallel()
		var s lineages
		maker, user, gone := &stopped{}, &stopped{}, &stopped{}
		l := s.take("a", maker)
		require.True(t, s.join(l, "a", user))
		require.True(t, s.join(l, "a", gone))
		s.leave(l, gone)
		s.spoil(l, errNotServed, maker)
		require.NoError(t, maker.why, "it ends by itself")
		require.ErrorIs(t, user.why, errNotServed)
		require.NoError(t, gone.why)
		require.False(t, s.join(l, "a", gone))
	})
	t.Run("no build follows as long as one uses it", func(t *testing.T) {
		t.Parallel()
		var s lineages
		maker, user, next := &stopped{}, &stopped{}, &stopped{}
		l := s.take("a", maker)
		require.True(t, s.join(l, "a", user))
		s.done(l, maker)
		require.NotEqual(t, l.id, s.take("a", next).id)
		s.leave(l, user)
		require.Equal(t, l.id, s.take("a", next).id)
		require.True(t, s.join(l, "a", user))
		s.leave(l, user)
		require.NotEqual(t, l.id, s.take("a", user).id, "the next build is in it")
	})
	t.Run("a user can spoil it when its build has ended", func(t *testing.T) {
		t.Parallel()
		var s lineages
		maker, user := &stopped{}, &stopped{}
		l := s.take("a", maker)
		require.True(t, s.join(l, "a", user))
		s.done(l, maker)
		s.spoil(l, errNotServed, user)
		s.leave(l, user)
		require.NotEqual(t, l.id, s.take("a", maker).id)
	})
	t.Run("the results of each identity are bounded", func(t *testing.T) {
		t.Parallel()
		var s lineages
		l := s.take("a", nil)
		s.note("bob", "his", []*lineage{l})
		for i := range maxMade + 1 {
			s.note("alice", fmt.Sprint(i), []*lineage{l})
		}
		require.Equal(t, []*lineage{l}, s.of("bob", "his"))
		require.Empty(t, s.of("bob", "1"))
		require.Empty(t, s.of("alice", "0"))
		require.Len(t, s.of("alice", fmt.Sprint(maxMade)), 1)
	})
}
