package policy

import (
	"slices"
	"strings"
)

// index finds the rules whose patterns can match a name, by what stands in a
// pattern before its first star: the whole of it, if there is none.
type index struct {
	exact   map[string][]int
	prefix  map[string][]int
	lengths []int // of the prefixes, each once
}

func newIndex(rules []Rule) index {
	ix := index{exact: make(map[string][]int, len(rules)), prefix: map[string][]int{}}
	for i := range rules {
		for _, p := range rules[i].patterns {
			literal, _, open := strings.Cut(p.String(), "*")
			if !open {
				ix.exact[literal] = append(ix.exact[literal], i)
				continue
			}
			if _, ok := ix.prefix[literal]; !ok {
				ix.lengths = append(ix.lengths, len(literal))
			}
			ix.prefix[literal] = append(ix.prefix[literal], i)
		}
	}
	slices.Sort(ix.lengths)
	ix.lengths = slices.Compact(ix.lengths)
	return ix
}

// rules returns the indices of all rules that may match the name, in order.
func (ix index) rules(name string) []int {
	found := slices.Clone(ix.exact[name])
	for _, n := range ix.lengths {
		if n > len(name) {
			break
		}
		found = append(found, ix.prefix[name[:n]]...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}
