// Package editdistance finds the name that a mistyped one was probably meant to be.
package editdistance

import "strings"

const (
	// maxLength is the length in bytes of the longest name that [Nearest] compares.
	maxLength = 120
	// tooFar is the distance from which on a name is no longer a typo of another.
	tooFar = 3
)

// Nearest returns the candidate that differs least from s, ignoring case. It
// returns "" if every candidate differs in three characters or more, or in half of
// its own.
func Nearest(s string, candidates []string) string {
	if len(s) > maxLength {
		return ""
	}
	best, bestDistance := "", tooFar
	for _, c := range candidates {
		d := Of(strings.ToLower(s), strings.ToLower(c))
		if d < bestDistance && d < len(c)/2+1 {
			best, bestDistance = c, d
		}
	}
	return best
}

// Of returns the Levenshtein distance of a and b: how many bytes have to be
// inserted, removed or replaced to turn one into the other.
func Of(a, b string) int {
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
