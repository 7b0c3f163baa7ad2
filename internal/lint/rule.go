package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy"
)

// rule checks one rule.
func (c *checker) rule(i int) {
	r := &c.rules[i]
	if r.Unnamed() {
		c.addRule(UnnamedRule, r.Rule, "messages can name this rule only by its position, which can "+
			"change; add a name")
	}
	if r.allows() {
		c.patterns(r)
		c.tags(r)
		c.options(r)
		c.ruleBuild(r)
	}
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	readings(&r.Rule.Rule, tell)
	if c.dispatch(r) != policy.DispatchBuiltin { // that serves no later version than its own
		openRange(&r.Rule.Rule, tell)
	}
	c.ruleEntries(r)
	c.decides(i)
}

// decides looks for reasons why a rule, or an entry of it, never decides.
func (c *checker) decides(i int) {
	r := &c.rules[i]
	if warn, end := r.WarnTime(), r.ExpiryTime(); !warn.IsZero() && !end.IsZero() &&
		!warn.Before(end) {
		c.addRule(WarnAfterExpiry, r.Rule, "the rule expires on %s and would begin to warn on %s, so it "+
			"never warns; set an earlier warnAfter",
			r.Expires, r.WarnAfter)
	}
	why := c.noPlatform(r)
	if why != "" {
		c.addRule(OptionsContradict, r.Rule, "%s, so every build that the rule matches is refused; remove "+
			"one of the two", why)
	}
	if c.never(r) {
		return
	}
	if by := c.shadows.of(i); by != nil {
		c.addRule(Shadowed, r.Rule, "the rule never decides, because rule %q on line %d%s matches "+
			"everything that it matches; remove one of them, or put the narrower one first",
			by.Name, by.Line(), ofFile(by.File(), r.File()))
		return
	}
	c.idle(i)
	if why == "" {
		idlePlatforms(r, func(code Code, format string, args ...any) {
			c.addRule(code, r.Rule, format, args...)
		})
	}
}

// ofFile names the file of another rule, if it isn't that of this one.
func ofFile(other, this string) string {
	if other == this {
		return ""
	}
	return " of " + other
}

// never looks for reasons why the rule can't match at all, whatever the other rules are.
func (c *checker) never(r *rule) bool {
	n := len(c.found)
	if c.expired(r.Rule) {
		c.addRule(Expired, r.Rule, "the rule expired on %s and no longer matches; remove it, or set a "+
			"later expires",
			r.Expires)
	}
	switch {
	case !r.allows():
		// Whatever exceptTags has, a deny rule matches references without a tag.
	case anyGlobCovers(r.ExceptTags, "*"):
		c.addRule(NeverMatches, r.Rule, "exceptTags matches every tag, so the rule matches none; name "+
			"the tags that the rule shouldn't match")
	case len(r.Tags) > 0 && r.Versions == "" && len(r.ExceptTags) > 0 &&
		!slices.ContainsFunc(r.Tags, func(t string) bool { return !anyGlobCovers(r.ExceptTags, t) }):
		c.addRule(NeverMatches, r.Rule, "exceptTags matches all of the tags %s, so the rule matches "+
			"none; "+
			"remove one of the two", strings.Join(r.Tags, ", "))
	}
	if by := c.aliasedAway(r); by != nil {
		from, to := by.Names()
		what := "never matches"
		if !r.allows() {
			what = "matches its names only at other ports"
		}
		c.addRule(AliasedAway, r.Rule, "the rule %s, because the alias on line %d%s turns %s into %s "+
			"first; write the rule for the name after the alias",
			what, by.Line(), ofFile(by.File(), r.File()), from, to)
	}
	within := func(n names) bool { return anyOverlaps(c.limits, n) }
	if r.allows() && len(c.limits) > 0 && !slices.ContainsFunc(r.match, within) {
		c.addRule(OutsideLimits, r.Rule, "the limits refuse every name that the rule matches; remove "+
			"the "+
			"rule, or add the names to the limits")
	}
	return len(c.found) > n
}

// aliasedAway returns an alias that renames what the rule matches. It is nil unless aliases
// rename all of that and none leads back.
func (c *checker) aliasedAway(r *rule) *policy.Alias { return c.renamed(r.usual()) }

// renamed is aliasedAway for these names.
func (c *checker) renamed(all []names) *policy.Alias {
	var by *policy.Alias
	for _, n := range all {
		for i := range c.to.FindMeeting(n.String()) {
			if c.aliases[i].to.Overlaps(n) {
				return nil
			}
		}
		froms := c.from.Find(n.String())
		found := slices.IndexFunc(froms, func(i int) bool { return c.aliases[i].from.Covers(n) })
		if found < 0 {
			return nil
		}
		i := froms[found]
		if by == nil {
			by = c.aliases[i].Alias
		}
	}
	return by
}

func (c *checker) patterns(r *rule) {
	for _, p := range r.Patterns() {
		switch {
		case len(r.Digests) > 0:
		case p == "**" || p == "**/*":
			c.addRule(MatchEverything, r.Rule, "match has %s, which allows every repository on every host; "+
				"name the hosts, as in corp.example/**", p)
		case strings.HasPrefix(p, "**/") && len(c.limits) == 0:
			c.addRule(MatchEverything, r.Rule, "match has %s, which allows such names on every host; name "+
				"the hosts, as in corp.example/%s", p, strings.TrimPrefix(p, "**/"))
		}
		for _, why := range runsOn(p) {
			c.addRule(PrefixRunsOn, r.Rule, "match has %s, which %s", p, why)
		}
	}
}

// runsOn says for each component of an allowed pattern that it matches names that were probably
// not meant.
func runsOn(pattern string) []string {
	components := strings.Split(pattern, "/")
	var out []string
	if why := hostRunsOn(components[0]); why != "" {
		out = append(out, why)
	}
	for i, part := range components {
		// The first directory of a registry is commonly an organisation.
		if i == 0 || i > 1 && i < len(components)-1 {
			continue
		}
		if prefix, open := strings.CutSuffix(part, "*"); open && strings.Trim(prefix, "*") != "" {
			out = append(out, fmt.Sprintf("matches every name that begins with %s, such as %s-evil; write "+
				"the names in full, or use a directory", prefix, prefix))
		}
	}
	return out
}

// hostRunsOn says that a host's pattern matches domains of other people, or returns "". Anybody can
// have a domain, and its last two labels are commonly what they choose.
func hostRunsOn(host string) string {
	name, _, _ := strings.Cut(host, ":")
	labels := strings.Split(name, ".")
	if globs.IsIPv4(name) || name == "**" || strings.HasPrefix(name, "[") {
		return ""
	}
	for _, l := range labels[max(0, len(labels)-2):] {
		if globs.Open(l) && strings.Trim(l, "*") != "" {
			return fmt.Sprintf("matches hosts of other people, such as %s; write the hosts in full, or "+
				"*.corp.example for all below corp.example", strings.ReplaceAll(name, "*", "evil"))
		}
	}
	if globs.Open(labels[len(labels)-1]) {
		return fmt.Sprintf("matches hosts of other people, such as %s; write the hosts in full",
			strings.ReplaceAll(strings.ReplaceAll(name, "**", "*"), "*", "evil"))
	}
	return ""
}

func (c *checker) tags(r *rule) {
	if tag := c.unbounded(r); tag != "" {
		c.addRule(UnboundedTag, r.Rule, "tags has %s, which names no version, so every image that it "+
			"will ever point to is allowed, although the rule names versions; use versions, digests or "+
			"requireDigest, or pin the tag in an alias", tag)
	}
	switch condition, err := versions.Parse(r.Versions); {
	case len(r.ExceptTags) > 0:
	case slices.ContainsFunc(r.Tags, isAnyTag):
		c.addRule(AnyTag, r.Rule, "tags has *, which matches every tag, so it refuses only references "+
			"without one; name tags, or remove tags")
	case r.Versions != "" && err == nil && condition.IsAny():
		c.addRule(AnyTag, r.Rule, "versions has every version, so it refuses only tags that are none; "+
			"write a range such as >=1.4 <2, or remove versions")
	}
	if len(r.Digests) > 0 && r.TagConditional() {
		c.addRule(TagsAndDigests, r.Rule, "digests already determines which images may run; the "+
			"conditions "+
			"on tags only refuse references to these images with another tag or none; remove one of the two")
	}
}

func isAnyTag(t string) bool { return strings.Trim(t, "*") == "" }

// unbounded returns the first tag that names no version and that nothing pins, or "". A rule
// without any version isn't meant to bound them.
func (c *checker) unbounded(r *rule) string {
	names := func(t string) bool { return strings.ContainsAny(t, "0123456789") }
	if r.Versions == "" && !slices.ContainsFunc(r.Tags, names) ||
		slices.ContainsFunc(r.Tags, isAnyTag) {
		return ""
	}
	if len(r.Digests) > 0 || r.RequireDigest || c.dispatch(r) == policy.DispatchBuiltin {
		return ""
	}
	for _, t := range r.Tags {
		if !names(t) && !c.pinned(r, t) {
			return t
		}
	}
	return ""
}

// pinned reports whether aliases pin the tag for all names of the rule.
func (c *checker) pinned(r *rule, tag string) bool {
	return !slices.ContainsFunc(r.match, func(n names) bool {
		return !slices.ContainsFunc(c.to.Find(n.String()), func(i int) bool {
			return c.aliases[i].Pins[tag] != "" && c.aliases[i].to.Covers(n)
		})
	})
}

// options checks the rule's options.
func (c *checker) options(r *rule) {
	o := r.Options
	for _, list := range []struct {
		field string
		keys  []string
	}{
		{"deny", o.Deny},
		{"strip", o.Strip},
		{"only", o.Only},
		{"force", slices.Sorted(maps.Keys(o.Force))},
	} {
		for _, key := range list.keys {
			if isBuildArgName(key) {
				c.addRule(OptionName, r.Rule, "options.%s has %s, which no client sends; if it is a "+
					"build-arg, write build-arg:%[2]s", list.field, key)
			} else if other := optionkeys.Suggest(key); other != "" {
				c.addRule(OptionName, r.Rule, "options.%s has %s, which no client sends and no known "+
					"frontend reads; you may mean %s", list.field, key, other)
			}
		}
	}
	if r.Mode == policy.ModeWarn || r.Mode == "" && c.doc.Mode == policy.ModeWarn {
		return // Refusals for options only warn, so what strip has is removed.
	}
	for _, key := range o.Strip {
		switch {
		case anyGlobCovers(o.Deny, key):
			c.addRule(OptionWithoutEffect, r.Rule, "options.strip has %s, and options.deny refuses builds "+
				"with it before it could be removed; remove one of them", key)
		case len(o.Only) > 0 && !mayList(o.Only, key):
			c.addRule(OptionWithoutEffect, r.Rule, "options.strip has %s, and options.only refuses builds "+
				"with it before it could be removed; add it to only, or remove it from strip", key)
		}
	}
}

// mayList reports whether an option that the glob matches can be one that the list allows. An
// option can have several names, and a named context more than a list can tell. So in doubt it may.
func mayList(only []string, glob string) bool {
	_, isContext := optionkeys.NamedContext(glob)
	return slices.ContainsFunc(only, func(g string) bool {
		return globs.Overlaps(strings.ToLower(g), strings.ToLower(glob)) ||
			optionkeys.Matches(g, glob) || optionkeys.Matches(glob, g) ||
			isContext && globs.Overlaps(g, optionkeys.ContextPrefix+"*")
	})
}

// isBuildArgName reports whether an option's name is in upper case, as only names of
// build-args are.
func isBuildArgName(key string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return strings.Trim(key, letters+"0123456789_*") == "" && strings.ContainsAny(key, letters)
}
