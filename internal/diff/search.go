package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// search makes sample names on which two rulesets may differ.
type search struct {
	*comparison
	a, b  *ruleset
	known map[string]bool // names
	seen  map[string]bool // signatures of names
	// visit takes each sample. It is false if the budget is used up.
	visit func(subject, string) bool
}

func (c *comparison) newSearch(a, b *ruleset, visit func(s subject, pattern string) bool) *search {
	return &search{
		comparison: c, a: a, b: b, known: map[string]bool{}, seen: map[string]bool{}, visit: visit,
	}
}

// differsGlobally reports whether the rulesets differ in something that is for all entries, or in
// the order of those that they have in common.
func (s *search) differsGlobally() bool {
	same := func(x, y renaming) bool {
		return x.from.String() == y.from.String() && x.to.String() == y.to.String()
	}
	return s.a.global != s.b.global || !slices.EqualFunc(s.a.renames, s.b.renames, same) ||
		!slices.Equal(s.a.order(s.b), s.b.order(s.a))
}

// run visits examples of all patterns and of the overlaps of each pair of them, until the budget is
// used up.
func (s *search) run(global bool) {
	setsA, okA := s.a.sets(s.a.changed(s.b, global), global)
	setsB, okB := s.b.sets(s.b.changed(s.a, global), global)
	s.complete = s.complete && okA && okB
	s.meetings(setsA, setsB)
}

// meetings visits examples of the sets of both sides and of the overlaps of each pair of them.
func (s *search) meetings(setsA, setsB []set) {
	for _, set := range slices.Concat(setsB, setsA) {
		if set.changed && !s.examples(set.names, set.pattern) {
			return
		}
	}
	indexOf := func(only func(set) bool) globs.Index {
		return globs.NewIndex(func(yield func(int, string) bool) {
			for i, a := range setsA {
				if only(a) && !yield(i, a.names.String()) {
					return
				}
			}
		})
	}
	all := indexOf(func(set) bool { return true })
	changed := indexOf(func(a set) bool { return a.changed })
	for _, b := range setsB {
		near := changed
		if b.changed {
			near = all
		}
		for _, i := range meeting(near, b.names) {
			if !s.spend(1) || !s.overlap(setsA[i].names, b.names, b.pattern) {
				return
			}
		}
	}
}

// overlap visits examples of what two sets have in common. It is false if the budget is used up.
func (s *search) overlap(a, b globs.Name, pattern string) bool {
	if !a.Open() && !b.Open() || !a.Overlaps(b) {
		return true // Examples have all literal names.
	}
	if !s.spend(meetWork) {
		return false
	}
	forms, ok := b.Meet(a)
	s.complete = s.complete && ok
	for _, n := range forms {
		if !s.examples(n, pattern) {
			return false
		}
	}
	return true
}

// examples visits examples of names, each once. It is false if the budget is used up.
func (s *search) examples(n globs.Name, pattern string) bool {
	for _, depth := range []int{0, 1, s.deep} {
		for _, fill := range []string{s.fresh, ""} {
			if !s.spend(exampleWork) || !s.example(n.Example(fill, depth), pattern) {
				return false
			}
		}
	}
	return true
}

// example visits a name, unless another one stands for it.
func (s *search) example(name, pattern string) bool {
	if s.known[name] {
		return true
	}
	s.known[name] = true
	if ref, err := imageref.Parse(name); err != nil || ref.Name() != name {
		return true
	}
	sample := s.describe(name)
	if !s.spend(exampleWork + sample.compared/lookedAt) {
		return false
	}
	if s.seen[sample.signature] {
		return true
	}
	s.seen[sample.signature] = true
	return s.visit(sample, pattern)
}

// subject is a sample name, with the rules and pins of both policies that are for it.
type subject struct {
	name    string
	entries [2][]int
	rules   []*imagerules.Rule
	pins    []pinned
	builtin bool // whether the built-in frontend may run under the name
	// compared is the number of patterns that were compared with the name.
	compared int
	// signature is the same for names that no condition distinguishes.
	signature string
}

// describe returns the subject of a name.
func (s *search) describe(name string) subject {
	out := subject{name: name}
	var signature strings.Builder
	var targets [2]string
	for i, of := range []*ruleset{s.a, s.b} {
		to, by := of.renamed(name)
		targets[i] = to
		found, n := of.matching(to)
		out.entries[i] = found
		out.compared += n
		for _, e := range out.entries[i] {
			if r := of.entries[e].rule; r != nil {
				out.rules = append(out.rules, r)
			}
		}
		limited := slices.ContainsFunc(of.limits,
			func(l globs.Name) bool { return l.Covers(globs.ParseImage(to)) })
		fmt.Fprint(&signature, out.entries[i], limited, by, "|",
			s.builtin && strings.HasSuffix(to, dockerfileversions.Name))
		for _, n := range distinct([]string{usualName(name), usualName(to)}) {
			out.pins = append(out.pins, of.pins[n]...)
		}
	}
	for _, p := range out.pins {
		fmt.Fprintf(&signature, "%q%t,", p.name, p.name == name)
	}
	if s.a.renames != nil || s.b.renames != nil { // The image that is used can differ too.
		fmt.Fprint(&signature, targets[0] == targets[1])
	}
	out.signature = signature.String()
	return out
}
