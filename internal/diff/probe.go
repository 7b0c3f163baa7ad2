package diff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// name compares the answers for one name. It is false if the budget is used up.
func (c *comparison) name(w witness) bool {
	if !c.spend(len(c.a.open) + len(c.b.open)) {
		return false
	}
	rules, signature := c.rules(w.name)
	if c.seen[signature] {
		return true
	}
	c.seen[signature] = true
	points := c.digests(rules, w.name)
	options, inputs := c.options(rules), c.inputs(rules)
	references := c.references(rules, w.name, points)
	for _, at := range c.times(rules) {
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
			if i == 0 && j == 0 {
				plain = [2]policy.Decision{before, after}
			}
			c.compare(w, r, points, before, after, plain)
		}
	}
	return true
}

// rules returns the rules of both policies that match the name. The text is the same for names
// that no condition distinguishes.
func (c *comparison) rules(name string) ([]*policy.Rule, string) {
	ref, err := imageref.Parse(name)
	if err != nil {
		return nil, name
	}
	var out []*policy.Rule
	var signature strings.Builder
	for _, s := range []*side{c.a, c.b} {
		d := policy.Decide(s.layers, policy.Request{Reference: ref, Time: c.at})
		renamed := d.Reference.Name()
		if renamed == "" {
			return nil, name
		}
		found := s.rules(renamed)
		out = append(out, found...)
		for _, r := range found {
			fmt.Fprintf(&signature, "%q", r.Name)
		}
		limited := slices.ContainsFunc(s.limits,
			func(l globs.Name) bool { return l.Covers(globs.ParseImage(renamed)) })
		alias := slices.IndexFunc(s.aliases,
			func(a alias) bool { return a.from.Covers(globs.ParseImage(name)) })
		fmt.Fprintf(&signature, "|%t|%d|", limited, alias)
		if c.builtin {
			fmt.Fprint(&signature, strings.HasSuffix(renamed, dockerfileversions.Name))
		}
	}
	if c.a.aliases != nil || c.b.aliases != nil {
		// The image that runs can differ too.
		signature.WriteString(strconv.FormatBool(c.sameTarget(ref)))
	}
	return out, signature.String()
}

// sameTarget reports whether the aliases of both policies turn a reference into the same one.
func (c *comparison) sameTarget(ref imageref.Reference) bool {
	r := policy.Request{Reference: ref, Time: c.at}
	return policy.Decide(c.a.layers, r).Reference == policy.Decide(c.b.layers, r).Reference
}

// references returns the name with each tag, with a digest instead, and with both if that can
// make a difference.
func (c *comparison) references(rules []*policy.Rule, name string,
	points []digest.Digest,
) []imageref.Reference {
	var texts []string
	for _, d := range points {
		texts = append(texts, name+"@"+d.String())
	}
	byDigest := len(points) > 1 || slices.ContainsFunc(rules,
		func(r *policy.Rule) bool { return r.RequireDigest })
	tags := c.tags(rules, name)
	c.matching(rules, tags)
	for _, t := range tags {
		texts = append(texts, name+":"+t)
		if !byDigest {
			continue
		}
		for _, d := range points {
			texts = append(texts, name+":"+t+"@"+d.String())
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
func (c *comparison) digests(rules []*policy.Rule, name string) []digest.Digest {
	out := []digest.Digest{c.other}
	add := func(s string) {
		if d := digest.Digest(s); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	for _, r := range rules {
		for _, d := range r.Digests {
			add(d)
		}
	}
	for _, a := range c.pinning(name) {
		for _, d := range a.Pins {
			add(d)
		}
	}
	return out
}

// pinning returns the aliases for the name.
func (c *comparison) pinning(name string) []alias {
	var out []alias
	for _, a := range slices.Concat(c.a.aliases, c.b.aliases) {
		if a.from.Covers(globs.ParseImage(name)) {
			out = append(out, a)
		}
	}
	return out
}

// times returns the given time and the later times at which a rule changes.
func (c *comparison) times(rules []*policy.Rule) []time.Time {
	out := []time.Time{c.at}
	for _, r := range rules {
		for _, t := range []time.Time{r.WarnTime(), r.ExpiryTime()} {
			if t.After(c.at) && !slices.ContainsFunc(out, t.Equal) {
				out = append(out, t)
			}
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}
