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

// stars says which elements are stars, and what they stand for. Of two stars, one takes all that
// the other takes.
type stars struct {
	is    func(element string) bool
	takes func(star, element string) bool // the element may be a star too
}

// oneStar is the only star, which takes everything.
func oneStar(star string) stars {
	return stars{
		is:    func(element string) bool { return element == star },
		takes: func(string, string) bool { return true },
	}
}

// hostStars are the stars of a host, whose elements are tokens.
var hostStars = stars{
	is:    func(element string) bool { return element[0] <= starWide },
	takes: func(star, element string) bool { return takes(star[0], element[0]) },
}

// meet returns forms that together stand for what is in both lists. It is false if
// some had to be left out.
func meet(a, b []string, s stars, one func(a, b string) ([]string, bool)) ([][]string, bool) {
	m := meeting{a: a, b: b, stars: s, one: one, memo: map[[2]int][][]string{}, all: true}
	return m.from(0, 0), m.all
}

type meeting struct {
	a, b  []string
	stars stars
	one   func(a, b string) ([]string, bool)
	memo  map[[2]int][][]string
	all   bool
}

// from returns the forms of what is in both a from i and b from j.
func (m *meeting) from(i, j int) [][]string {
	key := [2]int{i, j}
	if forms, ok := m.memo[key]; ok {
		return forms
	}
	inA, inB := i < len(m.a), j < len(m.b)
	starA, starB := inA && m.stars.is(m.a[i]), inB && m.stars.is(m.b[j])
	var forms [][]string
	switch {
	case !inA && !inB:
		forms = [][]string{{}}
	case starA && starB:
		narrow := m.a[i]
		if m.stars.takes(narrow, m.b[j]) {
			narrow = m.b[j]
		}
		forms = m.join(forms, narrow, m.from(i+1, j))
		forms = m.join(forms, narrow, m.from(i, j+1))
	case starA:
		forms = m.from(i+1, j)
		if inB && m.stars.takes(m.a[i], m.b[j]) {
			forms = m.join(slices.Clone(forms), m.b[j], m.from(i, j+1))
		}
	case starB:
		forms = m.from(i, j+1)
		if inA && m.stars.takes(m.b[j], m.a[i]) {
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
		f := append([]string{head}, t...)
		if m.stars.is(head) && len(t) > 0 && m.stars.is(t[0]) {
			// The wider one takes what both take.
			f = f[1:]
			if m.stars.takes(head, t[0]) {
				f[0] = head
			}
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
