package globs

import "strings"

const anyDepth = "**"

// Match reports whether the whole of s matches the glob.
//
// It returns only to the last "*", so the time is at most the product of the
// lengths.
func Match(glob, s string) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(s) {
		switch {
		case i < len(glob) && glob[i] == '*':
			star, mark = i, j
			i++
		case i < len(glob) && glob[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[i:], "*") == ""
}

// First returns the first of the globs that matches s, or "".
func First(globs []string, s string) string {
	for _, g := range globs {
		if Match(g, s) {
			return g
		}
	}
	return ""
}

// Covers reports whether big matches every string that small matches. Only a star of
// big matches a star of small, so this is [Match] with small as the string.
func Covers(big, small string) bool { return Match(big, small) }

// Match reports whether the pattern matches a name with these components. Stars in
// the components are characters like any other.
func (n Name) Match(components []string) bool { return n.matches(components, false) }

// Covers reports whether n matches every name that small matches. Only a "**" of n
// matches a "**" of small.
func (n Name) Covers(small Name) bool { return n.matches(small, true) }

// matches is [Match] for components, with "**" as the star.
func (n Name) matches(s []string, isPattern bool) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(s) {
		switch {
		case i < len(n) && n[i] == anyDepth:
			star, mark = i, j
			i++
		case i < len(n) && (!isPattern && Match(n[i], s[j]) ||
			isPattern && s[j] != anyDepth && coversComponent(n[i], s[j])):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(n) && n[i] == anyDepth {
		i++
	}
	return i == len(n)
}
