package policy

import "strings"

// glob reports whether the whole of s matches p, in which "*" stands for any run
// of characters and everything else for itself. It goes back only to the last
// "*", so the time is at most the product of the lengths.
func glob(p, s string) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && p[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

// globPath reports whether the components of a name match those of a pattern, in
// which "**" stands for any number of components, none included. As in glob, it
// goes back only to the last "**".
func globPath(pattern, name []string) bool {
	i, j := 0, 0
	star, mark := -1, 0
	for j < len(name) {
		switch {
		case i < len(pattern) && pattern[i] == "**":
			star, mark = i, j
			i++
		case i < len(pattern) && glob(pattern[i], name[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == "**" {
		i++
	}
	return i == len(pattern)
}
