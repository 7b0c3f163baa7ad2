package globs

import (
	"iter"
	"slices"
	"strings"
)

// Index finds the patterns of a long list that can match a string. It looks them up by the part
// before their first star or, if they begin with one, by the part after their last star, or else by
// the longest part between two stars. So it doesn't compare every pattern.
type Index struct {
	exact   map[string][]int // patterns without a star
	open    map[string][]int // the other ones, by the part before the first star
	lengths []int            // the distinct lengths of these parts, ascending
	tails   map[string][]int // those that begin with a star, by the part after the last one
	ends    []int            // the distinct lengths of these parts, ascending
	inner   map[string][]int // those that begin and end with a star, by the longest part between
	sizes   []int            // the distinct lengths of these parts, ascending
	sorted  []entry          // all patterns, by the part before the first star
}

// entry is a pattern of an index.
type entry struct {
	literal string // the part before the first star
	open    bool   // whether there is a star
	number  int
}

// NewIndex returns an index of patterns, which may be those of [ParseImage], with the numbers of
// whatever they belong to.
func NewIndex(patterns iter.Seq2[int, string]) Index {
	ix := Index{
		exact: map[string][]int{}, open: map[string][]int{}, tails: map[string][]int{},
		inner: map[string][]int{},
	}
	for i, p := range patterns {
		if name, port, path := splitImage(p); port == anyPort {
			p = name + path
		}
		literal, _, open := strings.Cut(p, "*")
		ix.sorted = append(ix.sorted, entry{literal, open, i})
		if !open {
			ix.exact[p] = append(ix.exact[p], i)
			continue
		}
		if literal == "" {
			// The name x is in **/x too.
			tail := strings.TrimPrefix(tailOf(p), "/")
			if tail == "" {
				part := longestPart(p)
				if _, ok := ix.inner[part]; !ok {
					ix.sizes = append(ix.sizes, len(part))
				}
				ix.inner[part] = append(ix.inner[part], i)
				continue
			}
			ix.tails[tail] = append(ix.tails[tail], i)
			ix.ends = append(ix.ends, len(tail))
			continue
		}
		if _, ok := ix.open[literal]; !ok {
			ix.lengths = append(ix.lengths, len(literal))
		}
		ix.open[literal] = append(ix.open[literal], i)
	}
	slices.Sort(ix.lengths)
	ix.lengths = slices.Compact(ix.lengths)
	slices.Sort(ix.ends)
	ix.ends = slices.Compact(ix.ends)
	slices.Sort(ix.sizes)
	ix.sizes = slices.Compact(ix.sizes)
	slices.SortStableFunc(ix.sorted,
		func(a, b entry) int { return strings.Compare(a.literal, b.literal) })
	return ix
}

// splitImage splits the port off the host of a name or pattern. The name and the path together are
// all the rest; the port is "" if there is none.
func splitImage(s string) (name, port, path string) {
	end := strings.IndexByte(s, '/')
	if end < 0 {
		end = len(s)
	}
	name, port = SplitPort(s[:end])
	return name, port, s[end:]
}

// Find returns the numbers of all patterns that can match s, or cover it if s is a pattern. They
// are in ascending order, each once.
func (ix Index) Find(s string) []int {
	found := ix.find(nil, s)
	if name, port, path := splitImage(s); port != "" {
		// A pattern for any port is listed without one.
		found = ix.find(found, name+path)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (ix Index) find(found []int, s string) []int {
	found = append(found, ix.exact[s]...)
	literal, _, _ := strings.Cut(s, "*")
	for _, n := range ix.lengths {
		if n > len(literal) {
			break
		}
		found = append(found, ix.open[literal[:n]]...)
	}
	tail := tailOf(s)
	for _, n := range ix.ends {
		if n > len(tail) {
			break
		}
		found = append(found, ix.tails[tail[len(tail)-n:]]...)
	}
	for _, n := range ix.sizes {
		if n == 0 {
			found = append(found, ix.inner[""]...)
			continue
		}
		for from := range len(s) - n + 1 {
			found = append(found, ix.inner[s[from:from+n]]...)
		}
	}
	return found
}

// longestPart returns the longest part of a pattern without a star. A slash beside a "**" isn't in
// each name that the pattern matches, so the part has none at its ends.
func longestPart(p string) string {
	longest := ""
	for part := range strings.SplitSeq(p, "*") {
		if part = strings.Trim(part, "/"); len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// tailOf returns the part after the last star, which is all of s if it has none.
func tailOf(s string) string { return s[strings.LastIndexByte(s, '*')+1:] }

// FindMeeting returns the numbers of all patterns that can have a string in common with the
// pattern s. Each is there once for each of its patterns, in no order.
func (ix Index) FindMeeting(s string) iter.Seq[int] {
	return func(yield func(int) bool) {
		literal, _, open := strings.Cut(s, "*")
		for _, e := range ix.sorted {
			if e.literal != "" || literal == "" {
				break
			}
			if e.open && !yield(e.number) {
				return
			}
		}
		for _, n := range ix.lengths {
			if n >= len(literal) {
				break
			}
			for _, i := range ix.open[literal[:n]] {
				if !yield(i) {
					return
				}
			}
		}
		from, _ := slices.BinarySearchFunc(ix.sorted, literal,
			func(e entry, l string) int { return strings.Compare(e.literal, l) })
		for _, e := range ix.sorted[from:] {
			switch {
			case !strings.HasPrefix(e.literal, literal), !open && e.literal != literal:
				return
			case !yield(e.number):
				return
			}
		}
	}
}
