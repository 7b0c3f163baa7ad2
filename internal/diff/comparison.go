package diff

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// The unit of work is one comparison of two patterns. A computer does some millions of them in
// a second.
const (
	// maxWork is the most work that one [Compare] does.
	maxWork = 10_000_000
	// requestWork is the work for evaluating a request with both policies.
	requestWork = 20
	// meetWork is the work for the overlap of two patterns.
	meetWork = 50
	// exampleWork is the work for making an example of a pattern.
	exampleWork = 10
)

// comparison is the state of one Compare.
type comparison struct {
	a, b     *side
	at       time.Time
	fresh    string        // a text that isn't part of any glob
	other    digest.Digest // not in any rule
	deep     int           // more components than any pattern has
	builtin  bool          // whether one side runs the built-in frontend
	complete bool
	budget   int // of work
	asked    int
	found    differences

	known map[string]bool  // names
	seen  map[string]bool  // signatures of names
	built map[string]built // by the rules on builds of both policies

	portsOf map[string][]int // by the conditions on ports

	matched    map[*policy.Rule]bool // rules that match a sample
	uncompared []string
}

func newComparison(a, b *policy.Policy, at time.Time) *comparison {
	c := &comparison{
		a: newSide(a), b: newSide(b), at: at, complete: true, budget: maxWork,
		other: digest.FromString("an image that no rule names"),
		known: map[string]bool{}, seen: map[string]bool{}, built: map[string]built{},
		portsOf: map[string][]int{}, matched: map[*policy.Rule]bool{},
	}
	c.builtin = c.a.builtin() || c.b.builtin()
	var ok bool
	if c.fresh, ok = globs.Fresh(slices.Concat(c.a.texts(), c.b.texts())); !ok && c.differ() {
		c.leaveOut("what no pattern matches, because patterns have every letter and digit")
	}
	// A name has at most 255 characters.
	c.deep = min(max(c.a.depth(), c.b.depth())+1, 200/(len(c.fresh)+1))
	return c
}

// spend takes work from the budget. It is false if the budget is used up. The comparison is
// then not complete.
func (c *comparison) spend(work int) bool {
	if c.budget < work {
		c.budget, c.complete = 0, false
		return false
	}
	c.budget -= work
	return true
}

// witness is a name that represents others.
type witness struct {
	name    string
	pattern string // from which it was made
}

// names compares the answers for examples of all patterns and of the overlaps of each pair of
// them, until the budget is used up.
func (c *comparison) names() {
	global := c.globalChange()
	changedA, changedB := c.changed(c.a, c.b, global), c.changed(c.b, c.a, global)
	setsA, okA := c.a.sets(changedA, global)
	setsB, okB := c.b.sets(changedB, global)
	c.complete = c.complete && okA && okB && !c.platforms(global)
	c.meetings(setsA, setsB)
	if c.complete {
		c.unmatched(c.a, policy.ActionDeny, c.changed(c.a, c.b, false))
		c.unmatched(c.b, policy.ActionAllow, c.changed(c.b, c.a, false))
	}
}

// meetings compares the answers for examples of the sets of both sides and of the overlaps of each
// pair of them.
func (c *comparison) meetings(setsA, setsB []set) {
	for _, s := range slices.Concat(setsB, setsA) {
		if s.changed && !c.examples(s.names, s.pattern) {
			return
		}
	}
	for _, b := range setsB {
		for _, a := range setsA {
			if !a.changed && !b.changed {
				continue
			}
			if !c.spend(1) {
				return
			}
			if !a.names.Open() && !b.names.Open() || !a.names.Overlaps(b.names) {
				continue // Literal names are compared above; the others don't overlap.
			}
			if !c.spend(meetWork) {
				return
			}
			forms, ok := b.names.Meet(a.names)
			c.complete = c.complete && ok
			for _, n := range forms {
				if !c.examples(n, b.pattern) {
					return
				}
			}
		}
	}
}

// platforms reports whether rules have a condition on platforms and something changed. The examples
// name no platform, so such rules refuse them all.
func (c *comparison) platforms(global bool) bool {
	has := func(r policy.Rule) bool { return len(r.Platforms) > 0 }
	return (slices.ContainsFunc(c.a.Frontends, has) || slices.ContainsFunc(c.b.Frontends, has)) &&
		(global || !slices.Equal(c.a.written, c.b.written))
}

// examples compares the answers for examples of names, each once. It is false if the budget is
// used up.
func (c *comparison) examples(n globs.Name, pattern string) bool {
	for _, depth := range []int{0, 1, c.deep} {
		for _, fill := range []string{c.fresh, ""} {
			if !c.spend(exampleWork) {
				return false
			}
			name := n.Example(fill, depth)
			ref, err := imageref.Parse(name)
			if err != nil || ref.Name() != name || c.known[name] {
				continue
			}
			c.known[name] = true
			if !c.name(witness{name, pattern}) {
				return false
			}
		}
	}
	return true
}

// differ reports whether some rule or a field that applies to all of them has changed.
func (c *comparison) differ() bool {
	return c.globalChange() || !slices.Equal(c.a.written, c.b.written)
}

// globalChange reports whether the policies differ in a field that applies to all rules, or in
// the order of their common rules.
func (c *comparison) globalChange() bool {
	a, b := c.a.Document, c.b.Document
	sameAlias := func(x, y policy.Alias) bool {
		fromX, toX := x.Names()
		fromY, toY := y.Names()
		return fromX == fromY && toX == toY && maps.Equal(x.Pins, y.Pins)
	}
	if a.Default != b.Default || a.Mode != b.Mode || a.Dispatch != b.Dispatch ||
		marshal(a.Build) != marshal(b.Build) ||
		a.Limits.Timeout != b.Limits.Timeout || a.Limits.Memory != b.Limits.Memory ||
		a.Limits.Nesting != b.Limits.Nesting ||
		!slices.Equal(a.Limits.Patterns(), b.Limits.Patterns()) ||
		!slices.EqualFunc(a.Aliases, b.Aliases, sameAlias) {
		return true
	}
	return !slices.Equal(common(c.a, c.b), common(c.b, c.a))
}

// common returns the rules of a that b also has, in the order of a.
func common(a, b *side) []string {
	has := map[string]bool{}
	for _, w := range b.written {
		has[w] = true
	}
	var out []string
	for _, w := range a.written {
		if has[w] {
			out = append(out, w)
		}
	}
	return out
}

// changed returns a function that reports whether the other side lacks rule i of s in the same
// form. If something global changed, that is every rule.
func (c *comparison) changed(s, o *side, global bool) func(int) bool {
	has := map[string]bool{}
	for _, w := range o.written {
		has[w] = true
	}
	return func(i int) bool { return global || !has[s.written[i]] }
}

// ask evaluates a request with one policy, as a build does: first by name, then with the
// digest. points is the digest to which every tag points.
func ask(s *side, r policy.Request, points digest.Digest) policy.Decision {
	d := policy.Decide(s.layers, r)
	if d.Verdict == policy.Deny {
		return d
	}
	switch {
	case d.Reference.Digest() == "":
		r.Digest = points
	case d.TagUnverified:
		r.TagDigest = points
	}
	return policy.Decide(s.layers, r)
}
