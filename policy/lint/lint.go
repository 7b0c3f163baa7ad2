// Package lint finds what is valid in a policy but probably not meant.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Code names a kind of finding. Codes are stable.
type Code string

// The codes.
const (
	// DefaultAllow: what no rule matches is allowed.
	DefaultAllow Code = "default-allow"
	// MatchEverything: an allow rule without digests takes any repository of any host.
	MatchEverything Code = "match-everything"
	// PrefixRunsOn: an allow rule's pattern also takes names that only begin alike.
	PrefixRunsOn Code = "prefix-runs-on"
	// Shadowed: an allow rule never decides, because another takes all that it does.
	Shadowed Code = "shadowed"
	// AnyTag: an allow rule has the tag "*", which is no condition on the tag.
	AnyTag Code = "any-tag"
	// UnnamedRule: messages can name a rule only by its place.
	UnnamedRule Code = "unnamed-rule"
	// MissingID: messages can't name the policy.
	MissingID Code = "missing-id"
	// MissingContact: a refused person isn't told whom to ask.
	MissingContact Code = "missing-contact"
)

// Finding is one thing to look at.
type Finding struct {
	Code Code
	// Rule is the rule's name, or "" for a finding about the whole policy.
	Rule string
	// Line and Column are where the rule begins, counted from 1; 0 without a rule.
	Line, Column int
	// Message says what happens and what to write instead.
	Message string
}

// Check returns the findings of a policy that policy.Parse made, in the order of
// its rules and those about the whole policy first; none if there is nothing to
// look at.
func Check(p *policy.Policy) []Finding {
	var found []Finding
	whole := func(code Code, message string) { found = append(found, Finding{Code: code, Message: message}) }
	if p.Default == policy.ActionAllow {
		whole(DefaultAllow, "whatever no rule matches is allowed; leave out default, and allow by rules")
	}
	if p.ID == "" {
		whole(MissingID, "without an id, messages can name the policy only by its digest; write id")
	}
	if p.Contact == "" {
		whole(MissingContact, "without a contact, a refused person isn't told whom to ask; write contact")
	}
	for i := range p.Frontends {
		found = append(found, checkRule(p.Frontends, i)...)
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return found
}

func checkRule(rules []policy.Rule, i int) []Finding {
	r := &rules[i]
	var found []Finding
	add := func(code Code, format string, args ...any) {
		found = append(found, Finding{
			Code: code, Rule: r.Name, Line: r.Line(), Column: r.Column(), Message: fmt.Sprintf(format, args...),
		})
	}
	if r.Unnamed() {
		add(UnnamedRule, "messages can name this rule only by its place, which changes; write name")
	}
	if r.Action == policy.ActionDeny {
		return found
	}
	for _, p := range r.Patterns() {
		if (p == "**" || p == "**/*") && len(r.Digests) == 0 {
			add(MatchEverything, "the rule allows every repository of every host; name the hosts, as in corp.example/**")
		}
		components := strings.Split(p, "/")
		for _, c := range []string{components[0], components[len(components)-1]} {
			if prefix, open := strings.CutSuffix(c, "*"); open && strings.Trim(prefix, "*") != "" {
				add(PrefixRunsOn, "the pattern %q takes every name that begins like %s, such as %s-evil; write the names out, or use a folder", p, prefix, prefix)
			}
		}
	}
	if slices.ContainsFunc(r.Tags, func(t string) bool { return strings.Trim(t, "*") == "" }) {
		add(AnyTag, "the tag * is every tag, so that tags only refuses a reference that has none; name tags, or remove tags")
	}
	if by := shadow(rules, i); by != nil {
		add(Shadowed, "the rule never decides, because rule %q on line %d takes all that it does; remove one of them, or put the narrower one first", by.Name, by.Line())
	}
	return found
}

// shadow returns the rule that keeps rule i from ever deciding: an earlier allow
// rule, or a deny rule anywhere.
func shadow(rules []policy.Rule, i int) *policy.Rule {
	for j := range rules {
		deny := rules[j].Action == policy.ActionDeny
		if j != i && (deny || j < i) && covers(&rules[j], &rules[i]) {
			return &rules[j]
		}
	}
	return nil
}

// covers reports whether a certainly matches all that b does. It compares patterns
// as texts, so it misses some.
func covers(a, b *policy.Rule) bool {
	return (slices.Contains(a.Patterns(), "**") || subset(b.Patterns(), a.Patterns())) &&
		(len(a.Tags) == 0 || (len(b.Tags) > 0 && subset(b.Tags, a.Tags))) &&
		(len(a.Digests) == 0 || (len(b.Digests) > 0 && subset(b.Digests, a.Digests))) &&
		(!a.RequireDigest || b.RequireDigest)
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
