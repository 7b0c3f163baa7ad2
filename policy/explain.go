package policy

import (
	"cmp"
	"slices"
	"strings"
)

const (
	// maxAllowed is how many entries Decision.Allowed has at most.
	maxAllowed = 5
	// maxConsidered is how many of the nearest patterns are looked at for them, so
	// that two large layers take no longer than one.
	maxConsidered = 100
	// maxListed is how many tags or digests a reason lists.
	maxListed = 3
)

// list writes the accepted values for a sentence: "tag 1.7", "tags 1.* or 2.*".
func list(one, many string, items []string) string {
	if len(items) == 1 {
		return one + " " + items[0]
	}
	shown := items[:min(len(items), maxListed)]
	if len(shown) < len(items) {
		return many + " " + strings.Join(shown, ", ") + " and others"
	}
	last := len(shown) - 1
	return many + " " + strings.Join(shown[:last], ", ") + " or " + shown[last]
}

// candidate is a pattern of an allow rule and how much of it the request has.
type candidate struct {
	rule    *Rule
	pattern pattern
	score   int
}

// allowed lists what the policy allows, nearest to ref first. It leaves out what
// the other layer, which may be nil, has no rule for.
func (p *Policy) allowed(ref Reference, other *Policy) []string {
	name := ref.Name()
	var best []candidate
	for i := range p.Frontends {
		r := &p.Frontends[i]
		if r.Action == ActionDeny {
			continue
		}
		for _, pat := range r.patterns {
			best = append(best, candidate{r, pat, likeness(name, pat.String())})
		}
	}
	slices.SortStableFunc(best, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	out := []string{}
	for _, c := range best[:min(len(best), maxConsidered)] {
		if other != nil && !other.mayAllow(c.pattern) {
			continue
		}
		for _, s := range c.conditions(ref.Tag()) {
			if len(out) == maxAllowed {
				return out
			}
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// mayAllow reports whether the policy has an allow for some name of the pattern.
// It takes one pattern for a name of the other, so that it can say no to two
// patterns that only overlap.
func (p *Policy) mayAllow(o pattern) bool {
	return p.Default == ActionAllow || slices.ContainsFunc(p.Frontends, func(r Rule) bool {
		return r.Action == ActionAllow && slices.ContainsFunc(r.patterns, func(q pattern) bool {
			return q.match(o.components) || o.match(q.components)
		})
	})
}

// likeness is how many characters a and b share at the beginning and at the end.
func likeness(a, b string) int {
	n := min(len(a), len(b))
	front := 0
	for front < n && a[front] == b[front] {
		front++
	}
	back := 0
	for back < n-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return front + back
}

// conditions writes the candidate with each of its tags, nearest to tag first,
// and with its digests or the digest that it wants.
func (c candidate) conditions(tag string) []string {
	names := []string{familiarName(c.pattern.String())}
	if len(c.rule.Tags) > 0 {
		tags := slices.Clone(c.rule.Tags)
		slices.SortStableFunc(tags, func(a, b string) int { return cmp.Compare(likeness(tag, b), likeness(tag, a)) })
		names = make([]string, len(tags))
		for i, t := range tags {
			names[i] = familiarName(c.pattern.String()) + ":" + t
		}
	}
	digests := c.rule.Digests
	if len(digests) == 0 && c.rule.RequireDigest {
		digests = []string{"sha256:…"}
	}
	if len(digests) == 0 {
		return names
	}
	var out []string
	for _, n := range names[:min(len(names), maxAllowed)] {
		for _, d := range digests[:min(len(digests), maxAllowed)] {
			out = append(out, n+"@"+d)
		}
	}
	return out
}
