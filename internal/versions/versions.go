// Package versions compares the tags of images with ranges of versions.
//
// Versions have up to four numbers of 64 bits, and they compare as people read them: 2026.01 is
// 2026.1. A tag with fewer numbers stands for all versions that begin with them. A suffix after
// three or four numbers makes a prerelease, which comes before its release
// (https://semver.org, section 11).
package versions

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Parts is how many numbers a version has at most.
const Parts = 4

// fullParts is how many numbers a version needs for a prerelease.
const fullParts = 3

// Numbers are the numbers of a version. Those that aren't written are 0.
type Numbers [Parts]uint64

func (n Numbers) compare(o Numbers) int { return slices.Compare(n[:], o[:]) }

// fill sets the numbers from the given one on.
func (n Numbers) fill(from int, with uint64) Numbers {
	for i := from; i < Parts; i++ {
		n[i] = with
	}
	return n
}

// next returns the numbers that follow. It is false for the last ones.
func (n Numbers) next() (Numbers, bool) {
	for i := Parts - 1; i >= 0; i-- {
		if n[i] < math.MaxUint64 {
			n[i]++
			return n.fill(i+1, 0), true
		}
	}
	return n, false
}

// previous returns the numbers before. It is false for the first ones.
func (n Numbers) previous() (Numbers, bool) {
	for i := Parts - 1; i >= 0; i-- {
		if n[i] > 0 {
			n[i]--
			return n.fill(i+1, math.MaxUint64), true
		}
	}
	return n, false
}

// Span is all releases from Low to High, both included.
type Span struct{ Low, High Numbers }

// Tag is what a tag says of a version.
type Tag struct {
	span       Span
	parts      int
	prerelease *semver.Version // nil for releases; its numbers are 0
}

// ParseTag reads a tag as a version with or without a leading "v" or "V". It is false for a tag
// that isn't a version, such as latest or 1.7-rc1: only a full version has prereleases.
func ParseTag(tag string) (Tag, bool) {
	v, ok := parse(tag)
	if !ok || v.parts == 0 || v.isOpen {
		return Tag{}, false
	}
	return Tag{span: v.span(v.parts), parts: v.parts, prerelease: v.prerelease}, true
}

// First returns the first number of the version.
func (t Tag) First() uint64 { return t.span.Low[0] }

// IsPrerelease reports whether the tag is that of a prerelease.
func (t Tag) IsPrerelease() bool { return t.prerelease != nil }

// String returns the version without leading zeros and without a "v".
func (t Tag) String() string {
	parts := make([]string, t.parts)
	for i := range parts {
		parts[i] = strconv.FormatUint(t.span.Low[i], 10)
	}
	s := strings.Join(parts, ".")
	if t.prerelease != nil {
		s += "-" + t.prerelease.Prerelease()
	}
	return s
}

// Same reports whether both tags say the same of a version. To a person, 1.5.0.0 is 1.5.0.
func (t Tag) Same(o Tag) bool {
	if t.parts < fullParts || o.parts < fullParts {
		return t.String() == o.String()
	}
	if t.prerelease == nil || o.prerelease == nil {
		return t.prerelease == o.prerelease && t.span.Low == o.span.Low
	}
	return t.span.Low == o.span.Low && t.prerelease.Equal(o.prerelease)
}

// CanBe reports whether all that o stands for is among the releases that t stands for.
func (t Tag) CanBe(o Tag) bool {
	return t.prerelease == nil && o.prerelease == nil && t.span.Low.compare(o.span.Low) <= 0 &&
		t.span.High.compare(o.span.High) >= 0
}

// written is a version as it is written, perhaps with an x for the numbers from one on.
type written struct {
	numbers    Numbers
	parts      int // without an x
	isOpen     bool
	prerelease *semver.Version
}

// span returns all releases that begin with some of the numbers.
func (w written) span(parts int) Span {
	return Span{w.numbers.fill(parts, 0), w.numbers.fill(parts, math.MaxUint64)}
}

func parse(s string) (written, bool) {
	core, prerelease, hasPrerelease := strings.Cut(s, "-")
	if core != "" && (core[0] == 'v' || core[0] == 'V') {
		core = core[1:]
	}
	var w written
	parts := strings.Split(core, ".")
	if len(parts) > Parts {
		return written{}, false
	}
	for _, p := range parts {
		if p == "x" || p == "X" || p == "*" {
			w.isOpen = true
			continue
		}
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || w.isOpen {
			return written{}, false
		}
		w.numbers[w.parts] = n
		w.parts++
	}
	if hasPrerelease {
		v, err := semver.StrictNewVersion("0.0.0-" + prerelease)
		if err != nil || w.parts < fullParts || w.isOpen || v.Metadata() != "" {
			return written{}, false
		}
		w.prerelease = v
	}
	return w, true
}

// place is a place on the line of all versions: a version, or a place between two.
type place struct {
	numbers    Numbers
	rank       rank
	prerelease *semver.Version
	side       int // -1 before the prerelease, 1 after it
}

// rank orders the places that have the same numbers.
type rank int

const (
	beforePrereleases rank = iota
	atPrerelease
	beforeRelease
	atRelease
	afterRelease
)

func (p place) compare(o place) int {
	order := cmp.Or(p.numbers.compare(o.numbers), cmp.Compare(p.rank, o.rank))
	if order != 0 || p.rank != atPrerelease {
		return order
	}
	return cmp.Or(p.prerelease.Compare(o.prerelease), cmp.Compare(p.side, o.side))
}
