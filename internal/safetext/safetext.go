// Package safetext makes strings from elsewhere safe to show to a person.
//
// A reference, an option or a policy can hold anything, and a message that repeats
// it ends up in a terminal or a log. The functions here bound such strings and
// escape control characters, directional marks and invalid UTF-8.
package safetext

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxRunes is how many characters of a string messages repeat.
const MaxRunes = 120

// Printable returns s without anything that a terminal might act on. It shows at
// most [MaxRunes] characters and marks a cut with "…".
func Printable(s string) string {
	n := 0
	for i := range s {
		if n++; n > MaxRunes {
			s = s[:i] + "…"
			break
		}
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Quote returns [Printable] of s in double quotes.
func Quote(s string) string { return `"` + Printable(s) + `"` }

// OneLine returns s with each run of white space, line breaks included, as one
// space.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Check returns an error if s has more than limit bytes or a character that can't
// be printed. With newline, line breaks are fine.
//
// The error continues a sentence that names s, for example "contact is too long".
func Check(s string, limit int, newline bool) error {
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

// Or lists the items for a sentence: "a", "a or b", "a, b or c".
func Or(items []string) string { return enumerate(items, "or") }

// And lists the items for a sentence: "a", "a and b", "a, b and c".
func And(items []string) string { return enumerate(items, "and") }

func enumerate(items []string, conjunction string) string {
	last := len(items) - 1
	if last < 1 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:last], ", ") + " " + conjunction + " " + items[last]
}
