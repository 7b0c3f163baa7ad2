package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// rule looks at one rule.
func (c *checker) rule(i int) {
	r := &c.rules[i]
	if r.Unnamed() {
		c.addRule(UnnamedRule, r.Rule, "messages can name this rule only by its place, which changes; write name")
	}
	if r.allows() {
		c.patterns(r)
		c.tags(r)
		c.options(r)
		c.ruleBuild(r)
	}
	if warn, end := r.WarnTime(), r.ExpiryTime(); !warn.IsZero() && !end.IsZero() && !warn.Before(end) {
		c.addRule(WarnAfterExpiry, r.Rule, "the rule expires on %s, before it warns on %s; write an earlier warnAfter", r.Expires, r.WarnAfter)
	}
	if c.never(r) {
		return
	}
	if by := c.shadows.of(i); by != nil {
		c.addRule(Shadowed, r.Rule, "the rule never decides, because rule %q on line %d%s takes all that it does; remove one of them, or put the narrower one first", by.Name, by.Line(), ofFile(by.File(), r.File()))
	}
}

// ofFile names the file of another rule, if it isn't that of this one.
func ofFile(other, this string) string {
	if other == this {
		return ""
	}
	return " of " + other
}

// never looks for why the rule can't match at all, whatever other rules there are.
func (c *checker) never(r *rule) bool {
	n := len(c.found)
	if c.expired(r.Rule) {
		c.addRule(Expired, r.Rule, "the rule expired on %s and no longer matches; remove it, or write a later expires", r.Expires)
	}
	switch {
	case !r.allows():
		// A reference without a tag is denied whatever tags are excepted.
	case anyGlobCovers(r.ExceptTags, "*"):
		c.addRule(NeverMatches, r.Rule, "exceptTags has every tag, so that the rule matches none; name the tags that it is not for")
	case len(r.Tags) > 0 && r.Versions == "" && len(r.ExceptTags) > 0 &&
		!slices.ContainsFunc(r.Tags, func(t string) bool { return !anyGlobCovers(r.ExceptTags, t) }):
		c.addRule(NeverMatches, r.Rule, "exceptTags has all of the tags %s, so that the rule matches none; remove one of both", strings.Join(r.Tags, ", "))
	}
	if by := c.aliasedAway(r); by != nil {
		from, to := by.Names()
		c.addRule(AliasedAway, r.Rule, "the rule is never asked, because the alias on line %d%s turns %s into %s first; write the rule for the name after it", by.Line(), ofFile(by.File(), r.File()), from, to)
	}
	if r.allows() && len(c.limits) > 0 && !slices.ContainsFunc(r.match, func(n names) bool { return anyOverlaps(c.limits, n) }) {
		c.addRule(OutsideLimits, r.Rule, "the limits refuse every name that the rule is for; remove it, or add the names to the limits")
	}
	return len(c.found) > n
}

// aliasedAway returns the alias that renames what the rule is for, if aliases do so
// for all of it and none leads back.
func (c *checker) aliasedAway(r *rule) *policy.Alias {
	var by *policy.Alias
	for _, n := range r.match {
		if slices.ContainsFunc(c.aliases, func(a alias) bool { return a.to.Overlaps(n) }) {
			return nil
		}
		i := slices.IndexFunc(c.aliases, func(a alias) bool { return a.from.Covers(n) })
		if i < 0 {
			return nil
		}
		if by == nil {
			by = c.aliases[i].Alias
		}
	}
	return by
}

func (c *checker) patterns(r *rule) {
	for _, p := range r.Patterns() {
		if (p == "**" || p == "**/*") && len(r.Digests) == 0 {
			c.addRule(MatchEverything, r.Rule, "the rule allows every repository of every host; name the hosts, as in corp.example/**")
		}
		components := strings.Split(p, "/")
		for _, part := range []string{components[0], components[len(components)-1]} {
			if prefix, open := strings.CutSuffix(part, "*"); open && strings.Trim(prefix, "*") != "" {
				c.addRule(PrefixRunsOn, r.Rule, "the pattern %q takes every name that begins like %s, such as %s-evil; write the names out, or use a folder", p, prefix, prefix)
			}
		}
	}
}

func (c *checker) tags(r *rule) {
	if slices.ContainsFunc(r.Tags, isAnyTag) {
		if len(r.ExceptTags) == 0 {
			c.addRule(AnyTag, r.Rule, "the tag * is every tag, so that tags only refuses a reference that has none; name tags, or remove tags")
		}
	} else if tag := c.unbounded(r); tag != "" {
		c.addRule(UnboundedTag, r.Rule, "the tag %s names no version and no digest, so that whatever it points to next is allowed; write versions, digests or requireDigest, or pin the tag in an alias", tag)
	}
	if len(r.Digests) > 0 && r.TagConditional() {
		c.addRule(TagsAndDigests, r.Rule, "the digests alone say what may run; beside them, the conditions on the tag only refuse references to these images that have another tag or none; remove either")
	}
}

func isAnyTag(t string) bool { return strings.Trim(t, "*") == "" }

// unbounded returns the first tag that says nothing of what it points to, or "".
func (c *checker) unbounded(r *rule) string {
	if len(r.Digests) > 0 || r.RequireDigest || c.dispatch(r) == policy.DispatchBuiltin {
		return ""
	}
	for _, t := range r.Tags {
		if !strings.ContainsAny(t, "0123456789") && !c.pinned(r, t) {
			return t
		}
	}
	return ""
}

// pinned reports whether aliases pin the tag for all names of the rule.
func (c *checker) pinned(r *rule, tag string) bool {
	return !slices.ContainsFunc(r.match, func(n names) bool {
		return !slices.ContainsFunc(c.aliases, func(a alias) bool { return a.Pins[tag] != "" && a.to.Covers(n) })
	})
}

// options looks at the conditions on options.
func (c *checker) options(r *rule) {
	o := r.Options
	for _, key := range slices.Concat(o.Deny, o.Strip, o.Only, slices.Sorted(maps.Keys(o.Force))) {
		if isBuildArgName(key) {
			c.addRule(OptionName, r.Rule, "no client sends an option called %s; if it is a build-arg, write build-arg:%[1]s", key)
		}
	}
	for _, key := range o.Strip {
		switch {
		case anyGlobCovers(o.Deny, key):
			c.addRule(OptionWithoutEffect, r.Rule, "builds with the option %s are refused by options.deny before options.strip could remove it; remove one of them", key)
		case len(o.Only) > 0 && !slices.ContainsFunc(o.Only, func(g string) bool { return globs.Overlaps(g, key) }):
			c.addRule(OptionWithoutEffect, r.Rule, "builds with the option %s are refused by options.only before options.strip could remove it; add it to only, or remove it from strip", key)
		}
	}
}

// isBuildArgName reports whether an option's name is written as only build-args are.
func isBuildArgName(key string) bool {
	return strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*") == "" && strings.ContainsAny(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}
