package versions

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxSize is the length in bytes of the longest range.
const maxSize = 512

// Parse reads a range such as ">=1.4 <2 || 3.1.x" in the grammar of
// github.com/Masterminds/semver, without "!=" and with up to four numbers. The range is at most
// 512 bytes long. Parse refuses a range that surely has no version.
//
// Some words have two readings, the least that they can mean and the most:
//
//   - "<2" has no prerelease of 2, or has them.
//   - "<=1.7" and "1.2 - 1.7" end at 1.7.0, or after every 1.7.x.
//   - ">1.7" begins after every 1.7.x, or after 1.7.0.
//   - "~>1.7" ends before 1.8, or before 2 as in Ruby.
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
	var least, most []string
	for part := range strings.SplitSeq(s, "||") {
		a, w, err := parseAlternative(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
		r.alternatives = append(r.alternatives, a)
		least = append(least, strings.Join(w.least, " "))
		most = append(most, strings.Join(w.most, " "))
	}
	if !slices.Equal(least, most) {
		r.words = [2]string{strings.Join(least, " || "), strings.Join(most, " || ")}
	}
	return &r, nil
}

const versionPattern = `[vV]?[0-9xX*]+(?:\.[0-9xX*]+)*(?:-[0-9A-Za-z.-]+)?`

var (
	hyphenRange = regexp.MustCompile(`^\s*(` + versionPattern + `)\s+-\s+(` + versionPattern + `)`)
	comparator  = regexp.MustCompile(`^\s*(=>|=<|>=|<=|~>|[=<>~^])?\s*(` + versionPattern + `)`)
)

// Cache has the ranges of a policy, which commonly repeats few of them.
type Cache map[string]*Range

// Parse returns the range, as [Parse] does.
func (c Cache) Parse(s string) (*Range, error) {
	if r, ok := c[s]; ok {
		return r, nil
	}
	r, err := Parse(s)
	if err == nil {
		c[s] = r
	}
	return r, err
}

// words are the conditions of an alternative, written so that they have one reading.
type words struct{ least, most []string }

func parseAlternative(s string) (alternative, words, error) {
	var w words
	s = strings.TrimSpace(s)
	if s == "" {
		return alternative{}, w, errors.New("there is nothing on one side of ||; write * for any version")
	}
	var a alternative
	a.least.high = place{numbers: Numbers{}.fill(0, math.MaxUint64), rank: afterRelease}
	a.most.high = a.least.high
	for rest := s; rest != ""; {
		operators, n := [][2]string{}, 0
		if m := hyphenRange.FindStringSubmatch(rest); m != nil {
			operators, n = [][2]string{{">=", m[1]}, {"<=", m[2]}}, len(m[0])
		} else if m := comparator.FindStringSubmatch(rest); m != nil {
			operators, n = [][2]string{{m[1], m[2]}}, len(m[0])
		}
		for _, o := range operators {
			if !a.narrow(o[0], o[1], &w) {
				n = 0
			}
		}
		tail := strings.TrimLeft(rest[n:], ", \t\n")
		if n == 0 || tail == rest[n:] && tail != "" && !strings.ContainsAny(tail[:1], "<>=~^") {
			return alternative{}, w,
				fmt.Errorf("%s is not a range of versions; write one like >=1.4.0 <2.0.0, ~1.7 or 1.x",
					safetext.Quote(s))
		}
		rest = tail
	}
	if _, some := a.least.releases(); !some && (!a.named || a.least.low.compare(a.least.high) > 0) {
		if _, some := a.most.releases(); some && !slices.Equal(w.least, w.most) {
			return alternative{}, w, fmt.Errorf("%s has versions only if it means %s; write that",
				safetext.Quote(s), safetext.Quote(strings.Join(w.most, " ")))
		}
		return alternative{}, w, fmt.Errorf("no version is %s", safetext.Quote(s))
	}
	return a, w, nil
}

// narrow adds a condition to the alternative, and its readings to the words. It is false if there
// is no such condition.
func (a *alternative) narrow(operator, version string, w *words) bool {
	v, ok := parse(version)
	if !ok || v.parts == 0 && strings.ContainsAny(operator, "<>") && operator != "~>" {
		return false
	}
	least, most := operator+version, operator+version
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
	// What is written may be a part of a version, or short for the version with zeros.
	first, isPartial := high, v.parts < fullParts && !v.isOpen
	every, zeros := version, version
	if isPartial {
		first.numbers = whole.Low.fill(fullParts, math.MaxUint64)
		every, zeros = version+".x", version+strings.Repeat(".0", fullParts-v.parts)
	}
	switch operator {
	case ">=", "=>":
		a.from(low, low)
	case ">":
		least, most = operator+every, operator+zeros
		a.from(high.pastPrereleases(v), first)
	case "<":
		a.to(before, low)
	case "<=", "=<":
		least, most = operator+zeros, operator+every
		a.to(first, high)
	case "", "=":
		a.from(low, low)
		a.to(high, high)
	default:
		a.from(low, low)
		if same, fewer := v.compatible(operator); same == fewer {
			a.to(v.end(same), v.end(same))
		} else {
			least, most = v.beginning(version, same), v.beginning(version, fewer)
			a.to(v.end(same), v.end(fewer))
		}
	}
	w.least, w.most = append(w.least, least), append(w.most, most)
	return true
}

// pastPrereleases moves the end of a part of a version past the prereleases of what follows:
// 1.8.0-rc1 isn't surely after every 1.7.x, because to some that is 1.8.0 and later.
func (p place) pastPrereleases(v written) place {
	next, ok := p.numbers.next()
	if v.parts >= fullParts || !ok {
		return p
	}
	return place{numbers: next, rank: beforeRelease}
}

// compatible returns how many of the first numbers stay the same in a range that begins with "~",
// "^" or "~>": at most and at least.
func (w written) compatible(operator string) (most, least int) {
	least = min(w.parts, 2)
	switch operator {
	case "^":
		least = min(w.parts, fullParts)
		for i := range least {
			if w.numbers[i] > 0 {
				least = i + 1
				break
			}
		}
	case "~>": // In Ruby, all but the last number stay.
		ruby := w.parts - 1
		if w.isOpen || w.parts == 1 {
			ruby = w.parts
		}
		return max(least, ruby), min(least, ruby)
	}
	return least, least
}

// beginning writes the range from a version to all that begin with some of its numbers.
func (w written) beginning(version string, parts int) string {
	var b strings.Builder
	b.WriteString(">=" + version + " <=")
	for _, n := range w.numbers[:parts] {
		b.WriteString(strconv.FormatUint(n, 10) + ".")
	}
	b.WriteString("x")
	return b.String()
}

func (w written) end(parts int) place {
	return place{numbers: w.span(parts).High, rank: afterRelease}
}

func (a *alternative) from(least, most place) {
	if least.compare(a.least.low) > 0 {
		a.least.low = least
	}
	if most.compare(a.most.low) > 0 {
		a.most.low = most
	}
}

func (a *alternative) to(least, most place) {
	if least.compare(a.least.high) < 0 {
		a.least.high = least
	}
	if most.compare(a.most.high) < 0 {
		a.most.high = most
	}
}
