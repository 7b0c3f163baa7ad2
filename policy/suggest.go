package policy

import (
	"cmp"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/editdistance"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const (
	// maxAllowed is the largest number of entries in Decision.Allowed.
	maxAllowed = 5
	// maxConsidered is how many patterns are considered for those entries. They are the ones that
	// begin and end most like the name.
	maxConsidered = 100
	// maxCompared is how many times the patterns are compared with open patterns of another layer.
	maxCompared = 10_000
	// maxTypos is the largest edit distance between a name and the one that was probably meant.
	maxTypos = 2
)

// candidate is a name or pattern that an allow rule has.
type candidate struct {
	rule    *Rule
	pattern *imageref.Pattern
}

// newCandidates returns the names and patterns of all allow rules. Before them come the names that
// an alias rewrites to an allowed one.
func (p *Policy) newCandidates() []candidate {
	out := make([]candidate, 0, len(p.doc.Frontends))
	for i := range p.doc.Aliases {
		a := &p.doc.Aliases[i]
		if a.from.IsDirectory() || a.from.String() == a.to.String() {
			continue
		}
		for _, r := range p.index.Find(a.to.String()) {
			rule := &p.doc.Frontends[r]
			if rule.Action == ActionAllow && rule.Covers(a.to) {
				out = append(out, candidate{rule, &a.from})
				break
			}
		}
	}
	for i := range p.doc.Frontends {
		r := &p.doc.Frontends[i]
		if r.Action == ActionDeny {
			continue
		}
		for j := range r.Names() {
			out = append(out, candidate{r, &r.Names()[j]})
		}
	}
	return out
}

// allowed lists what the policy allows, most similar to the subject first. It also returns the name
// that was probably meant, or "". It skips what the limits refuse. It also skips what the other
// layer, which may be nil, doesn't allow.
func (p *Policy) allowed(s subject, other *Policy, overlay bool) (list []string, meant string) {
	list = []string{}
	name, budget := s.Ref.Name(), maxCompared
	for _, c := range p.nearest(name) {
		if c.rule.Expired(s.Now) || !c.rule.Admits(s.Client) || !p.withinLimits(c.pattern) ||
			p.builtinRefuses(c) || other != nil &&
			!other.mayAllow(c.pattern, overlay, &budget) {
			continue
		}
		if familiar := c.pattern.Familiar(); meant == "" && !c.pattern.IsOpen() &&
			isTypo(name, c.pattern.String(), familiar) {
			meant = familiar
		}
		for _, entry := range c.conditions(s.Ref.Tag()) {
			if len(list) == maxAllowed {
				return list, meant
			}
			if !slices.Contains(list, entry) {
				list = append(list, entry)
			}
		}
	}
	return list, meant
}

// isTypo reports whether the name was probably meant to be the other. That is so if their edit
// distance is small in relation to the length.
func isTypo(name, other, familiar string) bool {
	n := editdistance.Of(name, other)
	return n > 0 && n <= maxTypos && 3*n <= len(familiar)
}

// nearest returns the candidates that begin and end most like the name, sorted by edit distance.
func (p *Policy) nearest(name string) []candidate {
	scores := make([]int, len(p.allows))
	var counts [imageref.MaxSize + 2]int
	for i, c := range p.allows {
		scores[i] = min(likeness(name, c.pattern.String()), imageref.MaxSize+1)
		counts[scores[i]]++
	}
	least, room := len(counts), maxConsidered
	for least > 0 && room >= counts[least-1] {
		least--
		room -= counts[least]
	}
	best := make([]candidate, 0, min(len(scores), maxConsidered))
	for i, score := range scores {
		switch {
		case score < least-1:
			continue
		case score == least-1 && room == 0:
			continue
		case score == least-1:
			room--
		}
		best = append(best, p.allows[i])
	}
	type measured struct {
		candidate
		distance, likeness int
	}
	sorted := make([]measured, len(best))
	for i, c := range best {
		sorted[i] = measured{
			c, editdistance.Of(name, c.pattern.String()),
			likeness(name, c.pattern.String()),
		}
	}
	slices.SortStableFunc(sorted, func(a, b measured) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(b.likeness, a.likeness))
	})
	for i, m := range sorted {
		best[i] = m.candidate
	}
	return best
}

// mayAllow reports whether the policy allows some name that the pattern matches. If the pattern
// comes from an overlay, the policy's aliases rewrite it first.
//
// mayAllow asks whether one pattern covers the other. So it may return false for two patterns that
// only overlap. When the budget of comparisons is spent, it returns true.
func (p *Policy) mayAllow(o *imageref.Pattern, overlay bool, budget *int) bool {
	if overlay {
		if to, ok := p.aliased(o.String()); ok {
			if rewritten, err := imageref.ParsePattern(to); err == nil {
				o = &rewritten
			}
		}
	}
	if !p.withinLimits(o) {
		return false
	}
	if p.doc.Default == ActionAllow {
		return true
	}
	if slices.ContainsFunc(p.index.Find(o.String()), func(i int) bool {
		r := &p.doc.Frontends[i]
		return r.Action == ActionAllow && r.Covers(*o)
	}) {
		return true
	}
	if !o.IsOpen() {
		return false
	}
	for _, c := range p.allows {
		if *budget--; *budget < 0 || o.Covers(*c.pattern) {
			return true
		}
	}
	return false
}

// withinLimits reports whether the limits allow some name that the pattern matches.
func (p *Policy) withinLimits(o *imageref.Pattern) bool {
	return len(p.doc.Limits.patterns) == 0 ||
		slices.ContainsFunc(p.doc.Limits.patterns, func(l imageref.Pattern) bool {
			return l.Covers(*o) || o.Covers(l)
		})
}

// aliased returns the name that an alias rewrites this name to. It returns false if no alias
// matches.
func (p *Policy) aliased(name string) (string, bool) {
	for i := range p.doc.Aliases {
		if to, ok := p.doc.Aliases[i].Rename(name); ok {
			return to, true
		}
	}
	return "", false
}

// likeness returns how many characters a and b share at the beginning and at the end.
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

// conditions returns the candidate with the conditions of its rule. An entry has one of the rule's
// tags, most similar to tag first, or the rule's versions. It also has one of the rule's digests.
// If the rule only requires a digest, the entry says so.
func (c candidate) conditions(tag string) []string {
	name := c.pattern.Familiar()
	var names []string
	tags := slices.Clone(c.rule.Tags)
	slices.SortStableFunc(tags,
		func(a, b string) int { return cmp.Compare(likeness(tag, b), likeness(tag, a)) })
	for _, t := range tags {
		names = append(names, name+":"+t)
	}
	note := ""
	if c.rule.Versions != "" {
		note = " (versions " + safetext.Printable(c.rule.Versions) + ")"
	}
	if note != "" || len(names) == 0 {
		names = append(names, name)
	}
	digests := c.rule.Digests
	if len(digests) == 0 && c.rule.RequireDigest {
		digests = []string{"sha256:…"}
	}
	var out []string
	for i, n := range names[:min(len(names), maxAllowed)] {
		suffix := ""
		if i == len(c.rule.Tags) {
			suffix = note
		}
		if len(digests) == 0 {
			out = append(out, n+suffix)
		}
		for _, d := range digests[:min(len(digests), maxAllowed)] {
			out = append(out, n+"@"+d+suffix)
		}
	}
	return out
}
