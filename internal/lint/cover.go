package lint

import (
	"slices"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// shadows finds rules that keep others from deciding. It looks up patterns by the part
// before their first star, so large policies don't compare every pair of rules.
type shadows struct {
	rules []rule
	exact map[string][]int // rules by their patterns without a star
	open  map[string][]int // rules by the part of a pattern before its first star
	ends  []int            // the distinct lengths of these parts
	at    time.Time
}

func newShadows(rules []rule, at time.Time) shadows {
	s := shadows{rules: rules, exact: map[string][]int{}, open: map[string][]int{}, at: at}
	for i, r := range rules {
		for _, p := range r.Patterns() {
			before, _, open := strings.Cut(p, "*")
			if !open {
				s.exact[p] = append(s.exact[p], i)
				continue
			}
			s.open[before] = append(s.open[before], i)
			if !slices.Contains(s.ends, len(before)) {
				s.ends = append(s.ends, len(before))
			}
		}
	}
	return s
}

// of returns the rule that keeps rule i from ever deciding, or nil. If i allows, that is a
// deny rule anywhere or an earlier allow rule. If i denies, it is an earlier deny rule.
func (s shadows) of(i int) *policy.Rule {
	r := &s.rules[i]
	for _, j := range s.candidates(r.Patterns()[0]) {
		o := &s.rules[j]
		switch {
		case j == i, o.allows() && (!r.allows() || j > i), !o.allows() && !r.allows() && j > i:
		case !o.allows() && o.Mode == policy.ModeWarn && (r.allows() || r.Mode != policy.ModeWarn):
			// A deny rule that warns leaves the decision to the others.
		case covers(o, r) && s.outlives(o, r):
			return o.Rule
		}
	}
	return nil
}

// candidates returns the rules with a pattern that may cover p, in order.
func (s shadows) candidates(p string) []int {
	literal, _, open := strings.Cut(p, "*")
	var found []int
	if !open {
		found = append(found, s.exact[p]...)
	}
	for _, n := range s.ends {
		if n <= len(literal) {
			found = append(found, s.open[literal[:n]]...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// outlives reports whether a still matches as long as b does.
func (s shadows) outlives(a, b *rule) bool {
	end := a.ExpiryTime()
	return end.IsZero() || (!b.ExpiryTime().IsZero() && !end.Before(b.ExpiryTime()))
}

// covers reports whether a certainly matches everything that b matches. It misses some
// cases, such as version ranges that contain other ranges.
func covers(a, b *rule) bool {
	return !slices.ContainsFunc(b.match, func(n names) bool { return !a.covers(n) }) &&
		coversTags(a, b) &&
		(len(a.Digests) == 0 || (len(b.Digests) > 0 && subset(b.Digests, a.Digests))) &&
		(!a.RequireDigest || b.RequireDigest)
}

func coversTags(a, b *rule) bool {
	if !a.TagConditional() {
		return true
	}
	if !b.TagConditional() {
		return false
	}
	if !coversExcepted(a, b) {
		return false
	}
	switch {
	case len(a.Tags) == 0 && a.Versions == "":
		// All tags except those in exceptTags.
		return true
	case len(b.Tags) == 0 && b.Versions == "":
		return anyGlobCovers(a.Tags, "*")
	case b.Versions != "" && (a.Versions != b.Versions || !subset(b.Variants, a.Variants)) &&
		!anyGlobCovers(a.Tags, "*"):
		return false
	}
	return !slices.ContainsFunc(b.Tags, func(t string) bool { return !anyGlobCovers(a.Tags, t) })
}

// coversExcepted reports whether b matches none of a's exceptTags. The variants of these
// tags are excepted too.
func coversExcepted(a, b *rule) bool {
	byTags := b.Versions == "" && len(b.Tags) > 0
	for _, except := range a.ExceptTags {
		forms := []string{except}
		for _, v := range a.Variants {
			forms = append(forms, except+"-"+v)
		}
		for _, form := range forms {
			if !anyGlobCovers(b.ExceptTags, form) &&
				(!byTags || slices.ContainsFunc(b.Tags, func(t string) bool {
					return globs.Overlaps(t, form)
				})) {
				return false
			}
		}
	}
	return true
}

func anyGlobCovers(list []string, glob string) bool {
	return slices.ContainsFunc(list, func(g string) bool { return globs.Covers(g, glob) })
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
