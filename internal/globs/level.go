package globs

import "slices"

// MaxForms is how many globs Meet and Name.Meet return at most.
const MaxForms = 32

// Globs have two levels: lists of characters with the star "*", and lists of
// components with the star "**". The functions here are for both; one compares single
// elements that are no stars.

// overlaps reports whether some list is in both.
func overlaps[T comparable](a, b []T, star T, one func(a, b T) bool) bool {
	// reach[j] is whether a up to i and b up to j have something in common.
	reach, next := make([]bool, len(b)+1), make([]bool, len(b)+1)
	reach[0] = true
	for i := 0; ; i++ {
		for j := range b {
			// A star of b may stand for nothing.
			reach[j+1] = reach[j+1] || reach[j] && b[j] == star
		}
		if i == len(a) {
			return reach[len(b)]
		}
		clear(next)
		for j, ok := range reach {
			switch {
			case !ok:
			case a[i] == star:
				// It takes whatever b goes on with.
				for k := j; k <= len(b); k++ {
					next[k] = true
				}
			case j < len(b) && b[j] == star:
				next[j] = true
			case j < len(b) && one(a[i], b[j]):
				next[j+1] = true
			}
		}
		reach, next = next, reach
	}
}

// meet returns forms that together stand for what is in both lists. It is false if
// some had to be left out.
func meet(a, b []string, star string, one func(a, b string) ([]string, bool)) ([][]string, bool) {
	m := meeting{a: a, b: b, star: star, one: one, memo: map[[2]int][][]string{}, all: true}
	return m.from(0, 0), m.all
}

type meeting struct {
	a, b []string
	star string
	one  func(a, b string) ([]string, bool)
	memo map[[2]int][][]string
	all  bool
}

// from returns the forms of what is in both a from i and b from j.
func (m *meeting) from(i, j int) [][]string {
	key := [2]int{i, j}
	if forms, ok := m.memo[key]; ok {
		return forms
	}
	inA, inB := i < len(m.a), j < len(m.b)
	starA, starB := inA && m.a[i] == m.star, inB && m.b[j] == m.star
	var forms [][]string
	switch {
	case !inA && !inB:
		forms = [][]string{{}}
	case starA && starB:
		forms = m.join(forms, m.star, m.from(i+1, j))
		forms = m.join(forms, m.star, m.from(i, j+1))
	case starA:
		forms = m.from(i+1, j)
		if inB {
			forms = m.join(slices.Clone(forms), m.b[j], m.from(i, j+1))
		}
	case starB:
		forms = m.from(i, j+1)
		if inA {
			forms = m.join(slices.Clone(forms), m.a[i], m.from(i+1, j))
		}
	case inA && inB:
		heads, all := m.one(m.a[i], m.b[j])
		m.all = m.all && all
		for _, h := range heads {
			forms = m.join(forms, h, m.from(i+1, j+1))
		}
	}
	m.memo[key] = forms
	return forms
}

// join adds head before each of the tails, each form once.
func (m *meeting) join(forms [][]string, head string, tails [][]string) [][]string {
	for _, t := range tails {
		f := t
		if head != m.star || len(t) == 0 || t[0] != m.star {
			f = append([]string{head}, t...)
		}
		switch {
		case slices.ContainsFunc(forms, func(g []string) bool { return slices.Equal(f, g) }):
		case len(forms) == MaxForms:
			m.all = false
			return forms
		default:
			forms = append(forms, f)
		}
	}
	return forms
}
