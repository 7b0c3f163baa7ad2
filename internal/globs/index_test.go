package globs

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	patterns := map[int]string{0: "a/b", 1: "a/*", 2: "**", 3: "a/b*", 4: "a/bc", 5: "b/*", 6: "a/b"}
	ix := NewIndex(maps.All(patterns))
	for _, tc := range []struct {
		name, s string
		want    []int
	}{
		{"a name", "a/b", []int{0, 1, 2, 3, 6}},
		{"a longer name", "a/bc", []int{1, 2, 3, 4}},
		{"a name that only the widest pattern can match", "c", []int{2}},
		{"a pattern is covered by no name", "a/*", []int{1, 2}},
		{"a pattern with a longer beginning", "a/b*", []int{1, 2, 3}},
		{"nothing", "", []int{2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, ix.Find(tc.s))
		})
	}
	require.Empty(t, Index{}.Find("a"))
}
