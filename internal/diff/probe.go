package diff

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// name compares the answers for one name. It is false if the budget is used up.
func (c *comparison) name(s subject, w witness) bool {
	s.builtin = c.builtin
	var rules []*policy.Rule
	for i, of := range []*side{c.a, c.b} {
		for _, e := range s.entries[i] {
			rules = append(rules, &of.Frontends[e])
		}
	}
	points := c.digests(s)
	options, inputs := c.options(rules), c.inputs(rules)
	references := c.references(s, points, false)
	for _, at := range c.times(s.rules) {
		for _, ref := range references {
			for _, d := range points {
				if ref.Tag() == "" && d != points[0] {
					break // Without a tag, the digest in the reference is the only one.
				}
				if !c.extras(w, policy.Request{Requested: ref.Familiar(), Reference: ref, Time: at}, d, options,
					inputs) {
					return false
				}
			}
		}
	}
	return true
}

// extras compares the answers to a request with each set of options and inputs.
func (c *comparison) extras(w witness, r policy.Request, points digest.Digest,
	options []map[string]string, inputs [][]string,
) bool {
	var plain [2]policy.Decision
	for i, o := range options {
		for j, in := range inputs {
			if !c.spend(requestWork) {
				return false
			}
			c.asked++
			r.Options, r.Inputs = o, in
			before, after := ask(c.a, r, points), ask(c.b, r, points)
			if c.until != nil {
				if c.ended = c.until(before, after); c.ended {
					return false
				}
				continue
			}
			if i == 0 && j == 0 {
				plain = [2]policy.Decision{before, after}
			}
			c.compare(w, r, points, before, after, plain)
		}
	}
	return true
}

// references returns the name with each tag, with a digest instead, and with both if that can
// make a difference.
func (c *comparison) references(s subject, points []digest.Digest, byDigest bool,
) []imageref.Reference {
	var texts []string
	for _, d := range points {
		texts = append(texts, s.name+"@"+d.String())
	}
	byDigest = byDigest || len(points) > 1 || slices.ContainsFunc(s.rules,
		func(r *imagerules.Rule) bool { return r.RequireDigest })
	tags := c.tags(s)
	c.matching(s.rules, tags)
	for _, t := range tags {
		texts = append(texts, s.name+":"+t)
		if !byDigest {
			continue
		}
		for _, d := range points {
			texts = append(texts, s.name+":"+t+"@"+d.String())
		}
	}
	var out []imageref.Reference
	for _, t := range texts {
		if ref, err := imageref.Parse(t); err == nil {
			out = append(out, ref)
		}
	}
	return out
}

// digests returns a digest that no rule has, and those of the rules and pins for the name.
func (c *comparison) digests(s subject) []digest.Digest {
	out := []string{c.other.String()}
	for _, r := range s.rules {
		out = append(out, r.Digests...)
	}
	for _, p := range s.pins {
		out = append(out, slices.Sorted(maps.Values(p.tags))...)
	}
	var digests []digest.Digest
	for _, d := range distinct(out) {
		digests = append(digests, digest.Digest(d))
	}
	return digests
}

// times returns the given time and the later times at which a rule changes.
func (c *comparison) times(rules []*imagerules.Rule) []time.Time {
	return append([]time.Time{c.at}, changes(rules, c.at)...)
}

// changes returns the times after the given one at which a rule changes.
func changes(rules []*imagerules.Rule, at time.Time) []time.Time {
	var out []time.Time
	for _, r := range rules {
		for _, t := range []time.Time{r.WarnTime(), r.ExpiryTime()} {
			if t.After(at) && !slices.ContainsFunc(out, t.Equal) {
				out = append(out, t)
			}
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}
