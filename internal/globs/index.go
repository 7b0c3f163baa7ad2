package globs

import (
	"iter"
	"slices"
	"strings"
)

// Index finds the patterns of a long list that can match a string. It looks them up by the part
// before their first star, so it doesn't compare every pattern.
type Index struct {
	exact   map[string][]int // patterns without a star
	open    map[string][]int // the other ones, by the part before the first star
	lengths []int            // the distinct lengths of these parts, ascending
}

// NewIndex returns an index of patterns with the numbers of whatever they belong to.
func NewIndex(patterns iter.Seq2[int, string]) Index {
	ix := Index{exact: map[string][]int{}, open: map[string][]int{}}
	for i, p := range patterns {
		literal, _, open := strings.Cut(p, "*")
		if !open {
			ix.exact[p] = append(ix.exact[p], i)
			continue
		}
		if _, ok := ix.open[literal]; !ok {
			ix.lengths = append(ix.lengths, len(literal))
		}
		ix.open[literal] = append(ix.open[literal], i)
	}
	slices.Sort(ix.lengths)
	ix.lengths = slices.Compact(ix.lengths)
	return ix
}

// Find returns the numbers of all patterns that can match s, or cover it if s is a pattern. They
// are in ascending order, each once.
func (ix Index) Find(s string) []int {
	found := slices.Clone(ix.exact[s])
	literal, _, _ := strings.Cut(s, "*")
	for _, n := range ix.lengths {
		if n > len(literal) {
			break
		}
		found = append(found, ix.open[literal[:n]]...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}
