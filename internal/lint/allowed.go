package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// deniedAnyway looks for entries of a deny rule that no rule allows. Such a rule can be there for
// its message.
func (c *checker) deniedAnyway(r *rule, tell tell) {
	if c.doc.Default == policy.ActionAllow || r.Message != "" || r.Contact != "" ||
		c.doc.Mode == policy.ModeWarn || r.Mode == policy.ModeWarn ||
		!slices.ContainsFunc(c.rules, func(o rule) bool { return o.allows() }) {
		return
	}
	const format = "%s has %s, which no rule allows anyway; remove it, or add a message for those who " +
		"ask for it"
	allowed := 0
	for _, entry := range r.Match {
		if slices.ContainsFunc(denied(entry), func(n names) bool { return c.isAllowed(n, r) }) {
			allowed++
		} else {
			tell(DenyWithoutEffect, format, "match", entry)
		}
	}
	if allowed == 0 || len(r.Digests) > maxEntries {
		return
	}
	for _, digest := range r.Digests {
		if len(r.Digests) > 1 && !c.someAllowed(r.onlyDigest(digest)) {
			tell(DenyWithoutEffect, format, "digests", digest)
		}
	}
}

// someAllowed reports whether some rule may allow something of what the deny rule matches.
func (c *checker) someAllowed(r *rule) bool {
	return slices.ContainsFunc(r.match, func(n names) bool { return c.isAllowed(n, r) })
}

// isAllowed reports whether some rule may allow some of the names with the other conditions of a
// deny rule.
func (c *checker) isAllowed(n names, by *rule) bool {
	host, rest, _ := strings.Cut(n.String(), "/")
	plain, port, ok := strings.Cut(host, ":")
	if ok && slices.ContainsFunc(c.ported, func(r *rule) bool {
		return !c.expired(r.Rule) && r.overlaps(n) && mayMeet(r, by)
	}) {
		return true
	}
	if port == "*" {
		host = plain // The index has no pattern without a port for it.
	}
	return c.isAllowedLike(n, host+"/"+rest, by)
}

// isAllowedLike is isAllowed for the rules that the index has for the text.
func (c *checker) isAllowedLike(n names, text string, by *rule) bool {
	// Mostly, a wider rule allows the names, and it is found faster than all that meet them.
	for _, i := range c.shadows.index.Find(text) {
		r := &c.rules[i]
		if r.allows() && !c.expired(r.Rule) && r.overlaps(n) && mayMeet(r, by) {
			return true
		}
	}
	for i := range c.shadows.index.FindMeeting(text) {
		r := &c.rules[i]
		if r.allows() && !c.expired(r.Rule) && r.overlaps(n) && mayMeet(r, by) {
			return true
		}
	}
	return false
}

// mayMeet reports whether an allow rule may allow a tag and a digest that the deny rule matches.
func mayMeet(allow, deny *rule) bool {
	if len(allow.Digests) > 0 {
		// A deny rule matches a digest whose tag points elsewhere.
		return len(deny.Digests) == 0 || slices.ContainsFunc(deny.Digests, func(d string) bool {
			return slices.Contains(allow.Digests, d)
		})
	}
	if !deny.TagConditional() || len(allow.Tags) == 0 || allow.Versions != "" ||
		slices.ContainsFunc(allow.Tags, globs.Open) {
		return true
	}
	return slices.ContainsFunc(allow.Tags, func(t string) bool {
		return allow.MatchesTag(t) && deny.MatchesTag(t)
	})
}

// withPorts returns the allow rules that name ports.
func withPorts(rules []rule) []*rule {
	var out []*rule
	for i := range rules {
		hasPort := func(p string) bool {
			host, _, _ := strings.Cut(p, "/")
			return strings.Contains(host, ":")
		}
		if rules[i].allows() && slices.ContainsFunc(rules[i].Patterns(), hasPort) {
			out = append(out, &rules[i])
		}
	}
	return out
}
