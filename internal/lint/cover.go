package lint

import (
	"slices"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// shadows finds rules that keep others from deciding.
type shadows struct {
	rules []rule
	index globs.Index // of the rules' patterns
	at    time.Time
}

func newShadows(rules []rule, at time.Time) shadows {
	return shadows{rules: rules, at: at, index: globs.NewIndex(func(yield func(int, string) bool) {
		for i, r := range rules {
			for _, p := range r.Patterns() {
				if !yield(i, p) {
					return
				}
			}
		}
	})}
}

// of returns the rule that keeps rule i from ever deciding, or nil. If i allows, that is a
// deny rule anywhere or an earlier allow rule. If i denies, it is an earlier deny rule.
func (s shadows) of(i int) *policy.Rule { return s.ofPart(i, &s.rules[i]) }

// ofPart is of for a part of rule i.
func (s shadows) ofPart(i int, r *rule) *policy.Rule {
	for _, j := range s.index.Find(r.patterns[0]) {
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

// outlives reports whether a still matches as long as b does.
func (s shadows) outlives(a, b *rule) bool {
	end := a.ExpiryTime()
	return end.IsZero() || (!b.ExpiryTime().IsZero() && !end.Before(b.ExpiryTime()))
}

// covers reports whether a certainly matches everything that b matches. It misses some
// cases, such as version ranges that contain other ranges.
func covers(a, b *rule) bool {
	return !slices.ContainsFunc(b.match, func(n names) bool { return !a.covers(n) }) &&
		a.For().Covers(b.For()) && coversTags(a, b) && coversMoved(a, b) &&
		(len(a.Digests) == 0 || (len(b.Digests) > 0 && subset(b.Digests, a.Digests))) &&
		(!a.RequireDigest || b.RequireDigest)
}

// coversMoved is false if b can match a digest whose tag points elsewhere, and a can't.
func coversMoved(a, b *rule) bool {
	return !a.allows() || !a.TagConditional() || len(a.Digests) > 0 || len(b.Digests) == 0
}

func coversTags(a, b *rule) bool {
	if !a.TagConditional() {
		return true
	}
	if b.isOneTag() {
		return a.MatchesTag(b.Tags[0])
	}
	if !a.allows() && len(a.ExceptTags) == 0 && anyGlobCovers(a.Tags, "*") {
		return true // A deny rule matches what has no tag too.
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

// isOneTag reports whether an allow rule is for one tag, as it is written.
func (r *rule) isOneTag() bool {
	return r.allows() && r.Versions == "" && len(r.Tags) == 1 && !globs.Open(r.Tags[0])
}

// coversExcepted reports whether b certainly matches none of a's exceptTags. The variants of these
// tags are excepted too.
func coversExcepted(a, b *rule) bool {
	for _, except := range a.ExceptTags {
		forms := []string{except}
		for _, v := range a.Variants {
			forms = append(forms, except+"-"+v)
		}
		for _, form := range forms {
			if !anyGlobCovers(b.ExceptTags, form) && !apartFrom(a, b, form) {
				return false
			}
		}
	}
	return true
}

// apartFrom reports whether b certainly matches none of the tags in the glob, which a excepts. An
// allow rule excepts other spellings of a version too, and a deny rule matches them.
func apartFrom(a, b *rule, glob string) bool {
	if b.Versions != "" || len(b.Tags) == 0 {
		return false
	}
	if b.allows() && !slices.ContainsFunc(b.Tags, globs.Open) {
		return !slices.ContainsFunc(b.Tags, func(t string) bool { return !a.MatchesTag(t) })
	}
	exact := b.allows() && !a.allows()
	return !slices.ContainsFunc(b.Tags, func(t string) bool {
		switch {
		case exact:
			return globs.Overlaps(t, glob)
		case strings.ContainsAny(glob, "0123456789"):
			major, ok := majorOf(t)
			other, both := majorOf(glob)
			return !ok || !both || major == other
		}
		return globs.Overlaps(globs.FoldASCII(t), globs.FoldASCII(glob))
	})
}

// majorOf returns the first number of all tags in a glob such as v1.5*. It is false if the glob
// doesn't begin with a whole number, which other spellings have too.
func majorOf(glob string) (number string, ok bool) {
	number, _, ok = strings.Cut(strings.TrimLeft(glob, "vV"), ".")
	number = strings.TrimLeft(number, "0")
	return number, (ok || !globs.Open(glob)) && strings.Trim(number, "0123456789") == ""
}

func anyGlobCovers(list []string, glob string) bool {
	return slices.ContainsFunc(list, func(g string) bool { return globs.Covers(g, glob) })
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
