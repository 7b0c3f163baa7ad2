package globs

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIndex(t *testing.T) {
	t.Parallel()
	patterns := map[int]string{
		0: "a/b", 1: "a/*", 2: "**", 3: "a/b*", 4: "a/bc", 5: "b/*", 6: "a/b", 7: "*/q/*",
		8: "**/q*/**",
	}
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
		{"a name with what is between two stars", "c/q/d", []int{2, 7, 8}},
		{"nothing", "", []int{2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, ix.Find(tc.s))
		})
	}
	require.Empty(t, Index{}.Find("a"))
}

// FuzzIndex: an index finds each pattern that covers another one or meets it.
func FuzzIndex(f *testing.F) {
	f.Add("a/b", "a/*")
	f.Add("a*", "ab*")
	f.Add("**/b", "a/b")
	f.Add("**/ab/**", "ab/b")
	f.Add("*ab*", "*/ab*")
	f.Fuzz(func(t *testing.T, p, s string) {
		for _, in := range []string{p, s} {
			if len(in) > 12 || strings.Trim(in, "ab*/") != "" || strings.Contains(in, "//") ||
				strings.Trim(in, "/") != in || in == "" {
				t.Skip()
			}
		}
		ix := NewIndex(slices.All([]string{"b*/x", p, "x", "a/x*"}))
		a, b := ParseName(p), ParseName(s)
		require.True(t, !a.Covers(b) || slices.Contains(ix.Find(s), 1), "%s covers %s", p, s)
		met := slices.Collect(ix.FindMeeting(s))
		require.True(t, !a.Overlaps(b) || slices.Contains(met, 1), "%s meets %s", p, s)
	})
}
