package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/policy"
)

// builtIn looks for references that a rule allows and the built-in Dockerfile frontend
// refuses.
func (c *checker) builtIn(r *rule) {
	for _, p := range r.Patterns() {
		if !strings.HasSuffix(p, dockerfileversions.Name) {
			c.addRule(BuiltinRefuses, r.Rule, "dispatch: builtin serves only docker/dockerfile and mirrors "+
				"of that name, so other frontends like %s are refused; write a rule for them with another "+
				"dispatch", p)
			break
		}
	}
	pinned := func(n names) bool {
		for i := range c.to.FindMeeting(n.String()) {
			if a := c.aliases[i]; len(a.Pins) > 0 && a.to.Overlaps(n) {
				return true
			}
		}
		return false
	}
	switch {
	case len(r.Digests) > 0 || r.RequireDigest:
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend has no digest, so dispatch: builtin "+
			"refuses references by digest; remove digests and requireDigest, or use another dispatch")
	case slices.ContainsFunc(r.match, pinned):
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend has no digest, so dispatch: builtin "+
			"refuses tags that an alias pins; remove the pins, or use another dispatch")
	case r.TagConditional() && !builtinTag(r.Rule):
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend serves the versions 1.0 to %s, and "+
			"the rule matches none of them; use other tags or versions, or another dispatch",
			dockerfileversions.Newest)
	}
}

// builtinTag reports whether the rule matches a tag that the built-in frontend serves.
func builtinTag(r *policy.Rule) bool {
	return slices.ContainsFunc(append(dockerfileversions.Tags(), r.Tags...), func(tag string) bool {
		return dockerfileversions.Serves(tag) && r.MatchesTag(tag)
	})
}
