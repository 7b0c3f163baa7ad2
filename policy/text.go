package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxQuoted is how many characters of a foreign text are repeated in a message.
const maxQuoted = 120

// quote returns s in quotes, bounded and safe for a terminal.
func quote(s string) string {
	return `"` + printable(s) + `"`
}

// printable returns s bounded and with everything escaped that a terminal might
// act on, control characters and directional marks among it.
func printable(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxQuoted {
			s = s[:i] + "…"
			break
		}
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// oneLine returns s with its lines joined.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// checkText checks a text of the policy that is shown to people: at most limit
// bytes, and nothing that a terminal might act on. A newline is fine in a
// message.
func checkText(s string, limit int, newline bool) error {
	if len(s) > limit {
		return fmt.Errorf("is too long: %d bytes, at most %d are allowed", len(s), limit)
	}
	for i, r := range s {
		if newline && r == '\n' {
			continue
		}
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return fmt.Errorf("has the character %U at byte %d, which can't be printed", r, i+1)
		}
	}
	return nil
}

// nearest returns the candidate that s was probably meant to be, or "".
func nearest(s string, candidates []string) string {
	if len(s) > maxQuoted {
		return ""
	}
	best, bestDistance := "", 3
	for _, c := range candidates {
		d := distance(strings.ToLower(s), strings.ToLower(c))
		if d < bestDistance && d < len(c)/2+1 {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of characters to insert, remove or replace between a and b.
func distance(a, b string) int {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
