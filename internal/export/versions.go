package export

import (
	"math"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/versions"
)

// last is the upper bound of a part of a version that has none.
const last = math.MaxUint64

// span is all releases from low to high, both included.
type span struct{ low, high versions.Numbers }

// spans returns the releases that a versions condition matches in a reading, one span for each
// side of "||".
func spans(r *versions.Range, as versions.Reading) []span {
	var out []span
	for _, s := range r.Spans(as) {
		out = append(out, span{s.Low, s.High})
	}
	return out
}

// inside returns regular expressions for the tags that lie wholly in the span, full or
// partial, without a leading v.
func (s span) inside() []string {
	out := []string{between(s.low[:], s.high[:], narrowDigits)}
	for _, parts := range []int{3, 2, 1} {
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
	for parts := range versions.Parts {
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
