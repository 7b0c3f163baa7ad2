package frontend

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable quotes a client's text if it has anything but plain characters. Then it can't write to
// the terminal of the message's reader.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}

// legible bounds a text from elsewhere, such as a registry's error, and removes characters that a
// terminal might act on. Line breaks stay.
func legible(s string) string {
	const most = 4000
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r != utf8.RuneError && unicode.IsGraphic(r)) {
			return r
		}
		return -1
	}, s)
}
