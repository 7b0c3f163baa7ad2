package export

import (
	"fmt"
	"strconv"
	"strings"
)

// The maximal number of digits of a number in a tag. Package policy reads 64-bit numbers:
// every number of 19 digits fits, and none has more than 20.
const (
	narrowDigits = 19
	wideDigits   = 20
)

// numbers returns a regular expression for the decimal numbers from low to high, both
// included, with any leading zeros. If high is last, that is all numbers from low with
// at most maxDigits digits.
func numbers(low, high uint64, maxDigits int) string {
	return `0*` + plainNumbers(low, high, maxDigits)
}

// plainNumbers is [numbers] without leading zeros.
func plainNumbers(low, high uint64, maxDigits int) string {
	if low == 0 && high == last {
		return fmt.Sprintf(`(?:0|[1-9][0-9]{0,%d})`, maxDigits-1)
	}
	if low == high {
		return strconv.FormatUint(low, 10)
	}
	var out []string
	for low <= high {
		digits := len(strconv.FormatUint(low, 10))
		if high == last && low == power(digits-1) {
			// From here on, every number with enough digits matches.
			if digits <= maxDigits {
				out = append(out, fmt.Sprintf(`[1-9][0-9]{%d,%d}`, digits-1, maxDigits-1))
			}
			break
		}
		end := high
		if digits <= narrowDigits {
			end = min(high, power(digits)-1)
		}
		out = append(out, sameLength(strconv.FormatUint(low, 10), strconv.FormatUint(end, 10))...)
		if end == high {
			break
		}
		low = end + 1
	}
	if len(out) == 0 {
		return noNumber
	}
	return anyOf(out)
}

// noNumber matches nothing: no text continues after its end.
const noNumber = `$[^$]`

func power(exponent int) uint64 {
	n := uint64(1)
	for range exponent {
		n *= 10
	}
	return n
}

// sameLength writes the numbers between two of the same number of digits.
func sameLength(low, high string) []string {
	n := len(low)
	switch {
	case low == high:
		return []string{low}
	case low == strings.Repeat("0", n) && high == strings.Repeat("9", n):
		return []string{digits('0', '9') + times(n-1)}
	case n == 1:
		return []string{digits(low[0], high[0])}
	case low[0] == high[0]:
		return prefixed(low[:1], sameLength(low[1:], high[1:]))
	}
	var out []string
	first, final := low[0], high[0]
	if zeros := strings.Repeat("0", n-1); low[1:] != zeros {
		out = append(out, prefixed(low[:1], sameLength(low[1:], strings.Repeat("9", n-1)))...)
		first++
	}
	var tail []string
	if nines := strings.Repeat("9", n-1); high[1:] != nines {
		tail = prefixed(high[:1], sameLength(strings.Repeat("0", n-1), high[1:]))
		final--
	}
	if first <= final {
		out = append(out, digits(first, final)+times(n-1))
	}
	return append(out, tail...)
}

func digits(from, to byte) string {
	if from == to {
		return string(from)
	}
	return "[" + string(from) + "-" + string(to) + "]"
}

// times writes n more digits.
func times(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "[0-9]"
	}
	return fmt.Sprintf("[0-9]{%d}", n)
}

func prefixed(prefix string, items []string) []string {
	for i, item := range items {
		items[i] = prefix + item
	}
	return items
}
