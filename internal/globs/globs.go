// Package globs matches strings and names with globs, and compares globs with each
// other: whether one covers the other, what two have in common, and an example of
// what one matches. Policies are decided, compared and checked with it alike.
//
// In a string, "*" stands for any run of characters, the empty one included. A name
// is split into components at "/": "*" stays within one component, and a component
// "**" stands for any number of components. At the end of a name, "**" stands for at
// least one. In names of images, the first component is a host with a grammar of its own,
// see [ParseImage].
package globs

import (
	"slices"
	"strings"
)

// Overlaps reports whether some text is in both.
func Overlaps(a, b string) bool {
	if !Open(a) && !Open(b) {
		return a == b
	}
	return overlaps([]byte(a), []byte(b), '*', func(a, b byte) bool { return a == b })
}

// Meet returns globs that together stand for what is in both. It is false if there
// are more than MaxForms of them.
func Meet(a, b string) ([]string, bool) { return meetTexts(a, b, strings.Compare) }

// meetTexts is [Meet] with another comparison of characters, which is 0 for the same ones. What
// comes out has those of b.
func meetTexts(a, b string, compare func(a, b string) int) ([]string, bool) {
	forms, all := meet(split(a), split(b), oneStar("*"), func(a, b string) ([]string, bool) {
		if compare(a, b) == 0 {
			return []string{b}, true
		}
		return nil, true
	})
	out := make([]string, len(forms))
	for i, f := range forms {
		out[i] = strings.Join(f, "")
	}
	return out, all
}

// Example returns a text that is in the glob, with fill for each star.
func Example(glob, fill string) string { return strings.ReplaceAll(glob, "*", fill) }

// Open reports whether the glob can stand for more than one text.
func Open(glob string) bool { return strings.Contains(glob, "*") }

func same(a, b string) ([]string, bool) {
	if a == b {
		return []string{a}, true
	}
	return nil, true
}

// FoldASCII returns the text with ASCII letters in lower case.
func FoldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

func split(s string) []string {
	out := make([]string, len(s))
	for i := range len(s) {
		out[i] = s[i : i+1]
	}
	return out
}

// Fresh returns a text of letters or digits that the globs don't spell out any part
// of, so that an example filled with it is in no glob that doesn't hold all of the
// example's own. Letter case doesn't matter. If there is none, it returns the text that it tries
// first, and false.
func Fresh(globs []string) (string, bool) {
	const first, letters = "other", "zqjxwvkyufhgbpmdlcnirtsoae0987654321"
	var parts []string
	for _, g := range globs {
		for part := range strings.SplitSeq(FoldASCII(g), "/") {
			parts = append(parts, strings.TrimSuffix(part, ":"+anyPort))
		}
	}
	slices.Sort(parts)
	parts = slices.Compact(parts)
	fresh := func(t string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return touches(t, part) })
	}
	if fresh(first) {
		return first, true
	}
	for _, a := range strings.Split(letters, "") {
		if t := a + a + a; fresh(t) {
			return t, true
		}
	}
	for _, a := range strings.Split(letters, "") {
		for _, b := range strings.Split(letters, "") {
			if t := a + a + b + b; a != b && fresh(t) {
				return t, true
			}
		}
	}
	return first, false
}

// touches reports whether a text with t in it could be spelled as the glob has it: all
// of it where it has no star, some of it at a star.
func touches(t, glob string) bool {
	if strings.Contains(glob, t) {
		return true
	}
	if !Open(glob) {
		return false
	}
	for s := range strings.SplitSeq(glob, "*") {
		if s != "" && strings.Contains(t, s) {
			return true
		}
		for i := 1; i < min(len(t), len(s)); i++ {
			if t[:i] == s[len(s)-i:] || t[len(t)-i:] == s[:i] {
				return true
			}
		}
	}
	return false
}
