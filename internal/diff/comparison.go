package diff

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
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
	// lookedAt is how many patterns are compared with a name for one unit of work. For most of them
	// one look is enough.
	lookedAt = 10
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
	exampled bool // whether all samples of results and build caches were compared
	budget   int  // of work
	asked    int
	found    differences

	built map[string]built // by the rules on builds of both policies

	portsOf map[string][]int // by the conditions on ports

	// until, if it isn't nil, is asked of each request instead of comparing the answers. Once it is
	// true, the search is over.
	until func(before, after policy.Decision) bool
	ended bool // by until

	matched    map[*imagerules.Rule]bool // rules that match a sample
	uncompared []string
}

func compareSides(a, b *side, at time.Time) *comparison {
	c := &comparison{
		a: a, b: b, at: at, complete: true, budget: maxWork,
		other: digest.FromString("an image that no rule names"),
		built: map[string]built{}, portsOf: map[string][]int{}, matched: map[*imagerules.Rule]bool{},
	}
	c.builtin = c.a.builtin() || c.b.builtin()
	var ok bool
	texts := append(c.a.texts(), c.b.texts()...)
	if c.fresh, ok = globs.Fresh(texts); !ok && c.differ() {
		c.leaveOut("what no pattern matches, because patterns have every letter and digit")
	}
	// A name has at most 255 characters.
	c.deep = min(depth(texts)+1, 200/(len(c.fresh)+1))
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

// names compares the answers for samples of names.
func (c *comparison) names() {
	c.search()
	if c.complete {
		c.unmatched(&c.a.frontends, &c.b.frontends, policy.ActionDeny, "rule ")
		c.unmatched(&c.b.frontends, &c.a.frontends, policy.ActionAllow, "rule ")
	}
}

// search compares the answers for samples of names, until the budget is used up.
func (c *comparison) search() {
	s := c.newSearch(&c.a.frontends, &c.b.frontends, func(s subject, pattern string) bool {
		return c.name(s, witness{s.name, pattern})
	})
	s.run(s.differsGlobally())
}

// differ reports whether some rule or a field that applies to all of them has changed.
func (c *comparison) differ() bool {
	a, b := &c.a.frontends, &c.b.frontends
	if c.newSearch(a, b, nil).differsGlobally() || len(a.entries) != len(b.entries) {
		return true
	}
	for i := range a.entries {
		if a.entries[i].written != b.entries[i].written {
			return true
		}
	}
	return false
}

// ask evaluates a request with one policy, as a build does: first by name, then with the
// digest. points is the digest to which every tag points. There are no suggestions in the answer.
func ask(s *side, r policy.Request, points digest.Digest) policy.Decision {
	return askLayers(s.layers.Brief(), r, points)
}

// askFully is ask with suggestions.
func askFully(s *side, r policy.Request, points digest.Digest) policy.Decision {
	return askLayers(s.layers, r, points)
}

func askLayers(l policy.Layers, r policy.Request, points digest.Digest) policy.Decision {
	d := policy.Decide(l, r)
	if d.Verdict == policy.Deny {
		return d
	}
	switch {
	case d.Reference.Digest() == "":
		r.Digest = points
	case d.TagUnverified:
		r.TagDigest = points
	}
	return policy.Decide(l, r)
}
