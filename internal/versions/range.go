package versions

import "math"

// Range is a range of versions. Where people read its words in two ways, it has both readings.
type Range struct {
	alternatives []alternative
	words        [2]string // by reading; see [Range.Words]
}

// Reading says how to read words of a range that people read in two ways. [Parse] lists them.
type Reading int

// The readings.
const (
	Least Reading = iota // what the words surely mean
	Most                 // what they can mean
)

// alternative is one side of "||".
type alternative struct {
	least, most interval
	named       bool // a prerelease is written, so prereleases are taken at all
}

func (a *alternative) as(r Reading) interval {
	if r == Most {
		return a.most
	}
	return a.least
}

// interval is all versions between two places.
type interval struct{ low, high place }

// releases returns the releases of the interval. It is false if there are none.
func (i interval) releases() (Span, bool) {
	s := Span{i.low.numbers, i.high.numbers}
	ok := true
	if i.low.rank > atRelease {
		s.Low, ok = s.Low.next()
	}
	if i.high.rank < atRelease && ok {
		s.High, ok = s.High.previous()
	}
	return s, ok && s.Low.compare(s.High) <= 0
}

// contains reports whether all that the tag stands for lies in the interval.
func (i interval) contains(t Tag) bool {
	if t.prerelease != nil {
		p := place{numbers: t.span.Low, rank: atPrerelease, prerelease: t.prerelease}
		return i.low.compare(p) <= 0 && p.compare(i.high) <= 0
	}
	s, ok := i.releases()
	return ok && s.Low.compare(t.span.Low) <= 0 && s.High.compare(t.span.High) >= 0
}

// touches reports whether something of what the tag stands for lies in the interval.
func (i interval) touches(t Tag) bool {
	if t.prerelease != nil {
		return i.contains(t)
	}
	s, ok := i.releases()
	return ok && s.Low.compare(t.span.High) <= 0 && s.High.compare(t.span.Low) >= 0
}

// Contains reports whether all that the tag stands for lies in one alternative. A prerelease does
// only where one is written.
func (r *Range) Contains(t Tag, as Reading) bool {
	for i := range r.alternatives {
		a := &r.alternatives[i]
		if (t.prerelease == nil || a.named) && a.as(as).contains(t) {
			return true
		}
	}
	return false
}

// Touches reports whether something of what the tag stands for lies in the range. A prerelease
// does if it is in one of the readings.
func (r *Range) Touches(t Tag, as Reading) bool {
	if t.prerelease != nil {
		as = Most
	}
	for i := range r.alternatives {
		if r.alternatives[i].as(as).touches(t) {
			return true
		}
	}
	return false
}

// Spans returns the releases of each alternative that has some.
func (r *Range) Spans(as Reading) []Span {
	var out []Span
	for i := range r.alternatives {
		if s, ok := r.alternatives[i].as(as).releases(); ok {
			out = append(out, s)
		}
	}
	return out
}

// Words returns the range in words that have only this reading. They are "" if its own words have
// only one, apart from prereleases.
func (r *Range) Words(as Reading) string { return r.words[as] }

// NamesPrerelease reports whether a prerelease is written in the range.
func (r *Range) NamesPrerelease() bool {
	for _, a := range r.alternatives {
		if a.named {
			return true
		}
	}
	return false
}

// IsAny reports whether the range surely has every release.
func (r *Range) IsAny() bool {
	for _, s := range r.Spans(Least) {
		if s == (Span{High: Numbers{}.fill(0, math.MaxUint64)}) {
			return true
		}
	}
	return false
}
