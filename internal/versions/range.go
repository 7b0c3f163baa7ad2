package versions

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxSize is the length in bytes of the longest range.
const maxSize = 512

// Range is a range of versions.
type Range struct{ alternatives []alternative }

// alternative is one side of "||": all versions between two places.
type alternative struct {
	low, high place
	wide      place // high for whoever takes prereleases of an upper bound for its versions
	named     bool  // a prerelease is written, so prereleases are taken at all
}

// Parse reads a range such as ">=1.4 <2 || 3.1.x" in the grammar of
// github.com/Masterminds/semver, without "!=" and with up to four numbers. An upper bound such as
// "<2" keeps out prereleases of 2. The range is at most 512 bytes long. Parse refuses a range
// without any version.
func Parse(s string) (*Range, error) {
	if len(s) > maxSize {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(s), maxSize)
	}
	if strings.Contains(s, "!") {
		return nil,
			fmt.Errorf("%s leaves a version out; write the range without it, and the tag under exceptTags",
				safetext.Quote(s))
	}
	var r Range
	for part := range strings.SplitSeq(s, "||") {
		a, err := parseAlternative(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
		r.alternatives = append(r.alternatives, a)
	}
	return &r, nil
}

const versionPattern = `[vV]?[0-9xX*]+(?:\.[0-9xX*]+)*(?:-[0-9A-Za-z.-]+)?`

var (
	hyphenRange = regexp.MustCompile(`^\s*(` + versionPattern + `)\s+-\s+(` + versionPattern + `)`)
	comparator  = regexp.MustCompile(`^\s*(=>|=<|>=|<=|~>|[=<>~^])?\s*(` + versionPattern + `)`)
)

func parseAlternative(s string) (alternative, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return alternative{}, errors.New("there is nothing on one side of ||; write * for any version")
	}
	a := alternative{
		high: place{numbers: Numbers{}.fill(0, math.MaxUint64), rank: afterRelease},
	}
	a.wide = a.high
	for rest := s; rest != ""; {
		operators, n := [][2]string{}, 0
		if m := hyphenRange.FindStringSubmatch(rest); m != nil {
			operators, n = [][2]string{{">=", m[1]}, {"<=", m[2]}}, len(m[0])
		} else if m := comparator.FindStringSubmatch(rest); m != nil {
			operators, n = [][2]string{{m[1], m[2]}}, len(m[0])
		}
		for _, o := range operators {
			if !a.narrow(o[0], o[1]) {
				n = 0
			}
		}
		tail := strings.TrimLeft(rest[n:], ", \t\n")
		if n == 0 || tail == rest[n:] && tail != "" && !strings.ContainsAny(tail[:1], "<>=~^") {
			return alternative{},
				fmt.Errorf("%s is not a range of versions; write one like >=1.4.0 <2.0.0, ~1.7 or 1.x",
					safetext.Quote(s))
		}
		rest = tail
	}
	if _, some := a.releases(); !some && (!a.named || a.low.compare(a.high) > 0) {
		return alternative{}, fmt.Errorf("no version is %s", safetext.Quote(s))
	}
	return a, nil
}

// narrow adds a condition to the alternative. It is false if there is no such condition.
func (a *alternative) narrow(operator, version string) bool {
	v, ok := parse(version)
	if !ok || v.parts == 0 && strings.ContainsAny(operator, "<>") && operator != "~>" {
		return false
	}
	whole := v.span(v.parts)
	low, high := place{numbers: whole.Low, rank: beforeRelease},
		place{numbers: whole.High, rank: afterRelease}
	if v.parts == 0 {
		low.rank = beforePrereleases
	}
	before := place{numbers: whole.Low, rank: beforePrereleases}
	if v.prerelease != nil {
		a.named = true
		low = place{numbers: whole.Low, rank: atPrerelease, prerelease: v.prerelease, side: -1}
		before = low
		high = low
		high.side = 1
	}
	switch operator {
	case ">=", "=>":
		a.from(low)
	case ">":
		a.from(high)
	case "<":
		wide := low
		a.to(before, wide)
	case "<=", "=<":
		a.to(high, high)
	case "", "=":
		a.from(low)
		a.to(high, high)
	default:
		last := v.span(v.compatible(operator)).High
		a.from(low)
		end := place{numbers: last, rank: afterRelease}
		a.to(end, end)
	}
	return true
}

// compatible returns how many of the first numbers stay the same in a range that begins with "~"
// or "^".
func (w written) compatible(operator string) int {
	if operator != "^" {
		return min(w.parts, 2)
	}
	for i := range min(w.parts, fullParts) {
		if w.numbers[i] > 0 {
			return i + 1
		}
	}
	return min(w.parts, fullParts)
}

func (a *alternative) from(p place) {
	if p.compare(a.low) > 0 {
		a.low = p
	}
}

func (a *alternative) to(p, wide place) {
	if p.compare(a.high) < 0 {
		a.high = p
	}
	if wide.compare(a.wide) < 0 {
		a.wide = wide
	}
}

// releases returns the releases of the alternative. It is false if there are none.
func (a *alternative) releases() (Span, bool) {
	s := Span{a.low.numbers, a.high.numbers}
	ok := true
	if a.low.rank > atRelease {
		s.Low, ok = s.Low.next()
	}
	if a.high.rank < atRelease && ok {
		s.High, ok = s.High.previous()
	}
	return s, ok && s.Low.compare(s.High) <= 0
}

// Contains reports whether all that the tag stands for lies in one alternative. A prerelease does
// only where one is written.
func (r *Range) Contains(t Tag) bool {
	for i := range r.alternatives {
		a := &r.alternatives[i]
		if t.prerelease != nil {
			if a.named && a.between(t, a.high) {
				return true
			}
		} else if s, ok := a.releases(); ok && s.Low.compare(t.span.Low) <= 0 &&
			s.High.compare(t.span.High) >= 0 {
			return true
		}
	}
	return false
}

// Touches reports whether something of what the tag stands for lies in the range, prereleases
// included.
func (r *Range) Touches(t Tag) bool {
	for i := range r.alternatives {
		a := &r.alternatives[i]
		if t.prerelease != nil {
			if a.between(t, a.wide) {
				return true
			}
		} else if s, ok := a.releases(); ok && s.Low.compare(t.span.High) <= 0 &&
			s.High.compare(t.span.Low) >= 0 {
			return true
		}
	}
	return false
}

// between reports whether a prerelease lies between the low end and the high one.
func (a *alternative) between(t Tag, high place) bool {
	p := place{numbers: t.span.Low, rank: atPrerelease, prerelease: t.prerelease}
	return a.low.compare(p) <= 0 && p.compare(high) <= 0
}

// Spans returns the releases of each alternative that has some.
func (r *Range) Spans() []Span {
	var out []Span
	for i := range r.alternatives {
		if s, ok := r.alternatives[i].releases(); ok {
			out = append(out, s)
		}
	}
	return out
}

// NamesPrerelease reports whether a prerelease is written in the range.
func (r *Range) NamesPrerelease() bool {
	for _, a := range r.alternatives {
		if a.named {
			return true
		}
	}
	return false
}

// IsAny reports whether the range has every release.
func (r *Range) IsAny() bool {
	for _, s := range r.Spans() {
		if s == (Span{High: Numbers{}.fill(0, math.MaxUint64)}) {
			return true
		}
	}
	return false
}
