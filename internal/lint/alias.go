package lint

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/policy"
)

// alias checks one alias.
func (c *checker) alias(i int) {
	a := &c.aliases[i]
	from, to := a.Names()
	if from == to && len(a.Pins) == 0 {
		c.addAlias(AliasWithoutEffect, a.Alias, "the alias from %s leads to the same name and has "+
			"no pins; remove it, or change to", from)
	}
	for _, j := range c.from.Find(from) {
		if j < i && c.aliases[j].from.Covers(a.from) {
			by := c.aliases[j]
			if len(a.Pins) > 0 {
				c.addAlias(AliasShadowed, a.Alias, "the alias replaces nothing and only its pins count, because "+
					"the alias on line %d%s matches %s first; put the narrower one first, or pin the tags "+
					"there", by.Line(), ofFile(by.File(), a.File()), from)
				return
			}
			c.addAlias(AliasShadowed, a.Alias, "the alias is never used, because the alias on line "+
				"%d%s matches %s first; put the narrower one first, or remove one of them",
				by.Line(), ofFile(by.File(), a.File()), from)
			return
		}
	}
	if reason := c.nowhere(a); reason != "" {
		c.addAlias(AliasNotAllowed, a.Alias, "the alias leads from %s to %s, which %s; write a rule "+
			"that allows it, or remove the alias", from, to, reason)
		return
	}
	for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
		if reason := c.refused(from + ":" + tag); reason != "" {
			c.addAlias(PinRefused, a.Alias, "pins has %s, and the policy refuses that image: %s", tag,
				reason)
		}
	}
}

// nowhere returns a relative clause that says why no frontend behind the alias can run, or
// "".
func (c *checker) nowhere(a *alias) string {
	if len(c.limits) > 0 && !anyOverlaps(c.limits, a.to) {
		return "the limits refuse"
	}
	allowed := c.doc.Default == policy.ActionAllow
	for i := range c.shadows.index.FindMeeting(a.to.String()) {
		r := &c.rules[i]
		switch {
		case c.expired(r.Rule):
		case r.allows():
			allowed = allowed || r.overlaps(a.to)
		case r.covers(a.to) && !r.TagConditional() && len(r.Digests) == 0 && r.Mode != policy.ModeWarn:
			return "rule \"" + r.Name + "\" denies"
		}
	}
	if !allowed {
		return "no rule allows"
	}
	return ""
}
