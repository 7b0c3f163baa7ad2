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
const MaxRunes = 200

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
	return Whole(s)
}

// Whole is [Printable] without a cut, for what isn't only shown. Different strings stay different.
func Whole(s string) string {
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Hidden stands for what may be a secret.
const Hidden = "***"

// WithoutSecrets returns a URL with [Hidden] in place of the user and the query, if it has them.
func WithoutSecrets(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	rest, query, asks := strings.Cut(rest, "?")
	end := strings.IndexAny(rest+"/", "/#")
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
		rest = Hidden + rest[at:]
	}
	if asks {
		rest += "?" + Hidden
		if _, fragment, ok := strings.Cut(query, "#"); ok {
			rest += "#" + fragment
		}
	}
	return scheme + "://" + rest
}

// Quote returns [Printable] of s in double quotes.
func Quote(s string) string { return `"` + Printable(s) + `"` }

// Plain returns s as it is if it is plain text of at most [MaxRunes] characters, and
// [Quote] of s otherwise. It also quotes an empty string.
func Plain(s string) string {
	if p := Printable(s); p != s || s == "" || strings.Contains(s, `"`) {
		return `"` + p + `"`
	}
	return s
}

// OneLine returns s with each run of white space, line breaks included, as one
// space.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// maxLines is the length in bytes up to which [Lines] keeps a string.
const maxLines = 4000

// Lines returns a longer string, such as a registry's error, without anything that a
// terminal might act on. It keeps line breaks and cuts the string after 4000 bytes.
func Lines(s string) string {
	if len(s) > maxLines {
		s = s[:maxLines] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r != utf8.RuneError && unicode.IsGraphic(r)) {
			return r
		}
		return -1
	}, s)
}

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
func Or[T ~string](items []T) string { return enumerate(items, "or") }

// And lists the items for a sentence: "a", "a and b", "a, b and c".
func And[T ~string](items []T) string { return enumerate(items, "and") }

func enumerate[T ~string](items []T, conjunction string) string {
	var b strings.Builder
	for i, item := range items {
		switch {
		case i > 0 && i == len(items)-1:
			b.WriteString(" " + conjunction + " ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(item))
	}
	return b.String()
}

// maxListed is how many values [List] lists.
const maxListed = 3

// List lists accepted values in a sentence: "tag 1.7", "tags 1.* or 2.*".
func List(one, many string, items []string) string {
	if len(items) == 1 {
		return one + " " + items[0]
	}
	shown := items[:min(len(items), maxListed)]
	if len(shown) < len(items) {
		return many + " " + strings.Join(shown, ", ") + " and others"
	}
	return many + " " + Or(shown)
}
