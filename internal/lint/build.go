package lint

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// tell adds a finding about the build rules of a rule or of the whole policy.
type tell func(code Code, format string, args ...any)

// wholeBuild checks the build rules of the whole policy.
func (c *checker) wholeBuild() {
	p := c.doc
	own := func(r rule) bool { return r.allows() && r.Build != nil }
	if p.Default == policy.ActionAllow && p.Build == nil && slices.ContainsFunc(c.rules, own) {
		c.addf(DefaultUnjudged, "a frontend that no rule matches is allowed without any build rules, "+
			"although rules have some; write a build for the whole policy")
	}
	if p.Build == nil {
		return
	}
	c.build(p.Build, c.addf)
	c.opened = openDoors(c.addf, p.Build)
	forwards := func(r rule) bool { return r.allows() && c.dispatch(&r) == policy.DispatchForward }
	if i := slices.IndexFunc(c.rules, forwards); i >= 0 {
		c.unseen(p.Build, "rule "+c.rules[i].Name+" has", c.addf)
	}
}

// ruleBuild checks how a rule's frontends run, and its build rules.
func (c *checker) ruleBuild(r *rule) {
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	if c.dispatch(r) == policy.DispatchBuiltin {
		c.builtIn(r)
	}
	if r.Build == nil {
		return
	}
	c.build(r.Build, tell)
	c.ruleDoors(r, tell)
	if c.dispatch(r) == policy.DispatchForward {
		c.unseen(r.Build, "the rule has", tell)
	}
	if c.doc.Build == nil {
		return
	}
	for _, k := range r.Build.Kinds() {
		c.refusedAbove(r.Build, k, tell)
		if text := writtenRules(r.Build, k); text != "" && text == c.writtenAbove(k) {
			tell(BuildRepeated, "build.%s repeats that of the whole policy, which applies anyway; remove "+
				"it", k)
		}
	}
}

// refusedAbove looks for what a rule's build rules allow and those of the whole policy deny.
func (c *checker) refusedAbove(b *buildrules.Rules, k buildrules.Kind, tell tell) {
	whole := c.doc.Build
	switch {
	case whole.Denies(k) && !b.Denies(k):
		tell(BuildAllowRefused, "build.%s allows nothing, because the whole policy has %[1]s: deny; "+
			"remove it, or write allow: [] for the whole policy", k)
		return
	case k == buildrules.KindContainers && b.Containers != whole.Containers &&
		whole.Containers == buildrules.ActionDeny:
		tell(BuildAllowRefused, "build.containers allows nothing, because the whole policy denies "+
			"containers; remove one of the two")
		return
	}
	const refused = "build.%s.allow has %s, which the whole policy denies; remove it"
	if k == buildrules.KindGit || k == buildrules.KindHTTP || k == buildrules.KindDownloads {
		above := newURLs(whole, k)
		for _, p := range newURLs(b, k).allow {
			if !slices.ContainsFunc(p.Forms(), func(f urlmatch.Form) bool { return !above.denies(f) }) {
				tell(BuildAllowRefused, refused, k, p)
			}
		}
		return
	}
	allow, _ := b.Patterns(k)
	for i, n := range parseAll(allow) {
		if c.deniedAbove(k).cover(n) {
			tell(BuildAllowRefused, refused, k, allow[i])
		}
	}
}

// deniedAbove returns the patterns of a kind that the whole policy denies.
func (c *checker) deniedAbove(k buildrules.Kind) indexed {
	known, ok := c.denials[k]
	if !ok {
		_, deny := c.doc.Build.Patterns(k)
		known = newIndexed(deny)
		c.denials[k] = known
	}
	return known
}

// ruleDoors is openDoors for a rule, unless the whole policy has that finding.
func (c *checker) ruleDoors(r *rule, tell tell) {
	switch {
	case c.doc.Build == nil:
		openDoors(tell, r.Build)
	case !c.opened:
		openDoors(tell, r.Build, c.doc.Build)
	}
}

func (c *checker) dispatch(r *rule) policy.Dispatch {
	return c.doc.DispatchOf(r.Rule)
}

// writtenRules returns the rules of a kind as text, to compare.
func writtenRules(b *buildrules.Rules, k buildrules.Kind) string {
	text, err := yaml.Marshal(b.Only(k))
	if err != nil {
		return "" // It is never an error for rules that were parsed.
	}
	return string(text)
}

// writtenAbove is writtenRules for the whole policy.
func (c *checker) writtenAbove(k buildrules.Kind) string {
	text, ok := c.written[k]
	if !ok {
		text = writtenRules(c.doc.Build, k)
		c.written[k] = text
	}
	return text
}

// unseen looks for build rules that forward can't apply, or not in time. It checks the result that
// a frontend returns, after the frontend has ended and looked up images.
func (c *checker) unseen(b *buildrules.Rules, who string, tell tell) {
	const use = "; use mediate or builtin"
	if late := lateKinds(b); len(late) > 0 {
		tell(LateUnderForward, "build (%s): frontends have returned before this is checked where "+who+
			" dispatch: forward; what they read or ran until then isn't checked"+use,
			strings.Join(late, ", "))
	}
	if b.Containers != "" {
		tell(UnseenByForward, "build.containers has no effect where "+who+
			" dispatch: forward, which doesn't see containers"+use)
	}
	if b.Images == nil {
		return
	}
	if b.Images.RequireDigest {
		tell(UnseenByForward, "build.images.requireDigest has no effect where "+who+
			" dispatch: forward, because frontends add digests before their result is checked"+use)
	}
	if len(b.Images.Convert) > 0 {
		tell(UnseenByForward, "build.images.convert comes too late where "+who+
			" dispatch: forward, because frontends have contacted the registry of %s by then"+use,
			b.Images.Convert[0].From)
	}
}

// lateKinds returns the kinds of rules whose operations a frontend can cause before it returns.
func lateKinds(b *buildrules.Rules) []string {
	var late []string
	for _, k := range b.Kinds() {
		if k.InResult() && (k.IsSource() || k == buildrules.KindExec) {
			late = append(late, string(k))
		}
	}
	return late
}

// buildCheck checks the build rules of one kind on their own.
type buildCheck func(c *checker, b *buildrules.Rules, tell tell)

// buildChecks are the checks of kinds that have more than lists of name patterns.
var buildChecks = map[buildrules.Kind]buildCheck{
	buildrules.KindImages: func(c *checker, b *buildrules.Rules, tell tell) {
		allow, _ := b.Images.Patterns()
		if len(b.Images.Rules) == 0 {
			c.patternsOf(b, buildrules.KindImages, allow, b.Images.Deny, !b.Images.RequireDigest, tell)
		} else {
			c.imageRules(b)
			namedLists("build.images", nil, b.Images.Deny, tell)
		}
		for _, rule := range b.Images.Rules {
			tell := func(code Code, format string, args ...any) {
				tell(code, "build.images: rule "+rule.Name+": "+format, args...)
			}
			readings(rule, tell)
			openRange(rule, tell)
		}
		c.conversions(b.Images, tell)
		c.buildPins(b.Images, tell)
	},
	buildrules.KindFrontends: func(c *checker, b *buildrules.Rules, tell tell) {
		allow, _ := b.Frontends.Patterns()
		c.patternsOf(b, buildrules.KindFrontends, allow, b.Frontends.Deny, true, tell)
		c.nestedFrontends(allow, tell)
	},
	buildrules.KindGit: func(c *checker, b *buildrules.Rules, tell tell) {
		const k = buildrules.KindGit
		newURLs(b, k).check(b.Git.RequireCommit, c.replaced(b, k), tell)
	},
	buildrules.KindHTTP: func(c *checker, b *buildrules.Rules, tell tell) {
		const k = buildrules.KindHTTP
		newURLs(b, k).check(b.HTTP.RequireChecksum, c.replaced(b, k), tell)
	},
	buildrules.KindDownloads: func(c *checker, b *buildrules.Rules, tell tell) {
		const k = buildrules.KindDownloads
		newURLs(b, k).check(false, c.replaced(b, k), tell)
		c.withoutNetwork(b, tell)
	},
	buildrules.KindOCILayout: func(c *checker, b *buildrules.Rules, tell tell) {
		allow, _ := b.OCILayout.Patterns()
		c.patternsOf(b, buildrules.KindOCILayout, allow, b.OCILayout.Deny, true, tell)
		layoutNames(b, tell)
	},
	buildrules.KindBlob: func(c *checker, b *buildrules.Rules, tell tell) {
		allow, _ := b.Blob.Patterns()
		c.patternsOf(b, buildrules.KindBlob, allow, b.Blob.Deny, true, tell)
	},
	buildrules.KindLocal:  (*checker).local,
	buildrules.KindExec:   (*checker).exec,
	buildrules.KindConfig: (*checker).config,
	buildrules.KindContainers: func(c *checker, b *buildrules.Rules, tell tell) {
		denied := c.doc.Build != nil && c.doc.Build.Containers == buildrules.ActionDeny
		if b.Containers == buildrules.ActionAllow && !denied {
			tell(ContainersAllowed, "build.containers lets the frontend run any image as a container; "+
				"remove it unless the frontend needs that")
		}
	},
}

// build checks build rules on their own, kind by kind.
func (c *checker) build(b *buildrules.Rules, tell tell) {
	for _, k := range b.Kinds() {
		if check, ok := buildChecks[k]; ok {
			check(c, b, tell)
			continue
		}
		allow, deny := b.Patterns(k)
		c.patternsOf(b, k, allow, deny, true, tell)
	}
}

// patternsOf checks the name patterns of one kind. alone reports whether the rules have no
// other condition on what they allow.
func (c *checker) patternsOf(
	b *buildrules.Rules, k buildrules.Kind, allow, deny []string, alone bool, tell tell,
) {
	checkNames("build."+string(k), allow, deny, alone, c.replaced(b, k), tell)
}

// names checks the name patterns of a field. replaced reports whether what is denied can have an
// effect elsewhere.
func checkNames(field string, allow, deny []string, alone, replaced bool, tell tell) {
	for _, p := range allow {
		switch {
		case !alone:
		case (p == "**" || p == "**/*") && len(deny) == 0:
			tell(BuildAllowsAny, "%s.allow has %s, which matches everything; name the hosts, as in "+
				"corp.example/**, or deny something", field, p)
		case strings.HasPrefix(p, "**/") && p != "**/*":
			tell(BuildAllowsAny, "%s.allow has %s, which matches such names on every host; name the "+
				"hosts, as in corp.example/%s", field, p, strings.TrimPrefix(p, "**/"))
		}
		for _, why := range runsOn(p) {
			tell(PrefixRunsOn, "%s.allow has %s, which %s", field, p, why)
		}
	}
	namedLists(field, allow, deny, tell)
	deniedNames(field, allow, deny, replaced, tell)
}

// deniedNames looks for allowed patterns that deny covers, and for deny entries, as they are
// written, that have nothing in common with allow.
func deniedNames(field string, allow, deny []string, replaced bool, tell tell) {
	allowed := parseAll(allow)
	var all []names
	for _, entry := range deny {
		all = append(all, denied(entry)...)
	}
	for i, n := range allowed {
		if anyCovers(all, n) {
			tell(BuildAllowRefused, "%s.allow has %s, which deny refuses; remove one of the two", field,
				allow[i])
		}
	}
	for _, entry := range deny {
		overlaps := func(n names) bool { return anyOverlaps(allowed, n) }
		if !replaced && len(allow) > 0 && !slices.ContainsFunc(denied(entry), overlaps) {
			tell(BuildDenyWithoutEffect, "%s.deny has %s, which allow doesn't list anyway; remove it", field,
				entry)
		}
	}
}

// nestedFrontends looks for nested frontends that build.frontends allows but no rule does.
func (c *checker) nestedFrontends(allow []string, tell tell) {
	if c.doc.Default == policy.ActionAllow || len(c.aliases) > 0 {
		return
	}
	runs := func(n names) bool {
		return slices.ContainsFunc(c.rules, func(r rule) bool {
			return r.allows() && !c.expired(r.Rule) && r.overlaps(n)
		})
	}
	for i, n := range parseAll(allow) {
		if !runs(n) {
			tell(NestedNotAllowed, "build.frontends.allow has %s, which no rule allows; write a rule for "+
				"it, or remove it",
				allow[i])
		}
	}
}
