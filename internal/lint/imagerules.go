package lint

import (
	"fmt"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// imageRules checks the list of rules on images, as rules on frontends are checked. Conversions and
// pins leave them nothing that a rule can't match.
func (c *checker) imageRules(b *buildrules.Rules) {
	images := b.Images
	doc := policy.Document{Mode: images.Mode}
	if images.Allow != nil || c.replaced(b, buildrules.KindImages) {
		doc.Default = policy.ActionAllow // Something else may allow what a rule denies.
	}
	for _, r := range images.Rules {
		doc.Frontends = append(doc.Frontends, policy.Rule{Rule: *r})
	}
	of := newDocChecker("", &doc, c.at)
	for i := range of.rules {
		of.imageRule(i, images)
	}
	owner := Finding{File: c.file}
	for _, r := range c.rules {
		if r.Build == b {
			owner = Finding{Rule: r.Name, File: r.File(), Line: r.Line(), Column: r.Column()}
			break
		}
	}
	for _, f := range of.found {
		name := f.Rule
		f.Message = fmt.Sprintf("build.images: rule %s: %s", safetext.Quote(name), f.Message)
		f.Rule, f.File, f.inner = owner.Rule, owner.File, true
		c.found = append(c.found, f)
	}
}

// imageRule checks one rule of a list.
func (c *checker) imageRule(i int, images *buildrules.ImageRules) {
	r := &c.rules[i]
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	if r.allows() {
		c.imageNames(r, images, tell)
		if !images.RequireDigest && len(images.Pins) == 0 {
			c.tags(r)
		}
	}
	c.ruleEntries(r)
	c.decides(i)
}

// imageNames looks for names of an allow rule that are for more than they seem to be.
func (c *checker) imageNames(r *rule, images *buildrules.ImageRules, tell tell) {
	denies := len(images.Deny) > 0
	for _, o := range c.rules {
		denies = denies || !o.allows()
	}
	for _, p := range r.patterns {
		if isAny(p) && !denies && !r.TagConditional() && len(r.Digests) == 0 && !r.RequireDigest &&
			!images.RequireDigest {
			tell(BuildAllowsAny, "match has %s, which allows every image; name the hosts, as in "+
				"corp.example/**, or deny something", p)
		}
		if len(r.Digests) > 0 || !globs.Open(p) {
			continue
		}
		for _, why := range runsOn(p) {
			tell(PrefixRunsOn, "match has %s, which %s", p, why)
		}
	}
}
