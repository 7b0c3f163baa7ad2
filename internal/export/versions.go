package export

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// last is the upper bound of a part of a version that has none.
const last = math.MaxUint64

// span is all releases from low to high, both included. Each is major, minor and patch.
type span struct{ low, high [3]uint64 }

// spans returns the releases that a versions condition matches, one span for each side of
// "||". Package policy decides what a condition matches. This function only knows where a
// range can begin and end.
func spans(versions string) ([]span, error) {
	var out []span
	for alternative := range strings.SplitSeq(versions, "||") {
		accepts, err := probe(alternative)
		if err != nil {
			return nil, err
		}
		points := slices.DeleteFunc(boundaries(alternative),
			func(v [3]uint64) bool { return !accepts(v) })
		if len(points) == 0 {
			continue // It matches only prereleases.
		}
		less := func(a, b [3]uint64) int { return slices.Compare(a[:], b[:]) }
		out = append(out, span{slices.MinFunc(points, less), slices.MaxFunc(points, less)})
	}
	return out, nil
}

// probe returns a function that reports whether the condition matches a release.
func probe(versions string) (func([3]uint64) bool, error) {
	quoted, err := json.Marshal(versions)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse("versions",
		[]byte(
			`{"version": 1, "frontends": [{"match": ["docker/probe"], "versions": `+string(quoted)+`}]}`))
	if err != nil {
		return nil, err
	}
	layers, err := policy.Stack(p, nil)
	if err != nil {
		return nil, err
	}
	return func(v [3]uint64) bool {
		ref, err := imageref.Parse(fmt.Sprintf("docker/probe:%d.%d.%d", v[0], v[1], v[2]))
		return err == nil && policy.Decide(layers, policy.Request{Reference: ref}).Verdict == policy.Allow
	}, nil
}

// boundaries returns the releases at which the written range can begin or end: those in the
// text, and their neighbours in each part.
func boundaries(s string) [][3]uint64 {
	out := [][3]uint64{{}, {last, last, last}}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') &&
			r != '.'
	}) {
		var n [3]uint64
		for i, p := range strings.SplitN(word, ".", 4)[:min(3, 1+strings.Count(word, "."))] {
			n[i], _ = strconv.ParseUint(p, 10, 64) // An x stands for 0.
		}
		for _, major := range around(n[0]) {
			for _, minor := range append(around(n[1]), 0, last) {
				for _, patch := range append(around(n[2]), 0, last) {
					out = append(out, [3]uint64{major, minor, patch})
				}
			}
		}
	}
	return out
}

// around returns n and the numbers next to it.
func around(n uint64) []uint64 {
	out := []uint64{n}
	if n > 0 {
		out = append(out, n-1)
	}
	if n < last {
		out = append(out, n+1)
	}
	return out
}

// inside returns regular expressions for the tags that lie wholly in the span, full or
// partial, without a leading v.
func (s span) inside() []string {
	out := []string{between(s.low[:], s.high[:], narrowDigits)}
	for _, parts := range []int{2, 1} {
		low, high := slices.Clone(s.low[:parts]), slices.Clone(s.high[:parts])
		ok := true
		if slices.ContainsFunc(s.low[parts:], func(n uint64) bool { return n > 0 }) {
			ok = next(low)
		}
		if ok && slices.ContainsFunc(s.high[parts:], func(n uint64) bool { return n < last }) {
			ok = previous(high)
		}
		if ok && slices.Compare(low, high) <= 0 {
			out = append(out, between(low, high, narrowDigits))
		}
	}
	return out
}

// touching returns regular expressions for the tags that overlap with the span.
func (s span) touching() []string {
	var out []string
	for parts := range 3 {
		out = append(out, between(s.low[:parts+1], s.high[:parts+1], wideDigits))
	}
	return out
}

// after returns the span extended by the next release, because prereleases of that one come
// before it.
func (s span) after() span {
	if high := slices.Clone(s.high[:]); next(high) {
		copy(s.high[:], high)
	}
	return s
}

// next advances v to the next version. It is false if there is none.
func next(v []uint64) bool {
	for i := len(v) - 1; i >= 0; i-- {
		if v[i] < last {
			v[i]++
			clear(v[i+1:])
			return true
		}
	}
	return false
}

// previous moves v to the previous version. It is false if there is none.
func previous(v []uint64) bool {
	for i := len(v) - 1; i >= 0; i-- {
		if v[i] > 0 {
			v[i]--
			for j := i + 1; j < len(v); j++ {
				v[j] = last
			}
			return true
		}
	}
	return false
}

// between returns a regular expression for the versions from low to high. They have as many
// parts as low and high, and numbers of at most maxDigits digits.
func between(low, high []uint64, maxDigits int) string {
	if len(low) == 1 {
		return numbers(low[0], high[0], maxDigits)
	}
	rest := len(low) - 1
	zeros, lasts := make([]uint64, rest), slices.Repeat([]uint64{last}, rest)
	part := func(from, to uint64, low, high []uint64) string {
		return numbers(from, to, maxDigits) + `\.` + between(low, high, maxDigits)
	}
	if low[0] == high[0] {
		return part(low[0], low[0], low[1:], high[1:])
	}
	from, to := low[0], high[0]
	var out []string
	if slices.Compare(low[1:], zeros) != 0 {
		out = append(out, part(from, from, low[1:], lasts))
		from++
	}
	if slices.Compare(high[1:], lasts) != 0 {
		out = append(out, part(to, to, zeros, high[1:]))
		to--
	}
	if from <= to {
		out = append(out, part(from, to, zeros, lasts))
	}
	return anyOf(out)
}
