package lint

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy"
)

// tell adds a finding about rules on builds: those of a rule, or of the whole policy.
type tell func(code Code, format string, args ...any)

// wholeBuild looks at the rules on builds that hold for all rules.
func (c *checker) wholeBuild() {
	p := c.policy
	own := func(r rule) bool { return r.allows() && r.Build != nil }
	if p.Default == policy.ActionAllow && p.Build == nil && slices.ContainsFunc(c.rules, own) {
		c.addf(DefaultUnjudged, "what no rule matches is allowed and held to no rules on builds, whereas rules are; write a build for the whole policy")
	}
	if p.Build == nil {
		return
	}
	c.build(p.Build, c.addf)
	forwards := func(r rule) bool { return r.allows() && c.dispatch(&r) == policy.DispatchForward }
	if i := slices.IndexFunc(c.rules, forwards); i >= 0 {
		c.unseen(p.Build, "rule "+c.rules[i].Name+" has", c.addf)
	}
}

// ruleBuild looks at how a rule's frontends run, and at its rules on builds.
func (c *checker) ruleBuild(r *rule) {
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	if c.dispatch(r) == policy.DispatchBuiltin {
		c.builtIn(r)
	}
	if r.Build == nil {
		return
	}
	c.build(r.Build, tell)
	if c.dispatch(r) == policy.DispatchForward {
		c.unseen(r.Build, "the rule has", tell)
	}
	if c.policy.Build == nil {
		return
	}
	own, wide := kinds(r.Build), kinds(c.policy.Build)
	for _, k := range r.Build.Kinds() {
		if kind := string(k); own[kind] == wide[kind] {
			tell(BuildRepeated, "build.%s is that of the whole policy, which holds without it; remove it", kind)
		}
	}
}

func (c *checker) dispatch(r *rule) policy.Dispatch {
	return cmp.Or(r.Dispatch, c.policy.Dispatch, policy.DispatchForward)
}

// kinds returns the rules of each kind as a text to compare.
func kinds(b *policy.Build) map[string]string {
	var nodes map[string]yaml.Node
	data, err := yaml.Marshal(b)
	if err == nil {
		err = yaml.Unmarshal(data, &nodes)
	}
	out := map[string]string{}
	for kind, node := range nodes {
		text, bad := yaml.Marshal(&node)
		if err == nil && bad == nil { // it never fails for what was parsed
			out[kind] = string(text)
		}
	}
	return out
}

// unseen looks for what forward can't see: it judges the result that a frontend
// returns, when the frontend has ended and the daemon has looked images up.
func (c *checker) unseen(b *policy.Build, who string, tell tell) {
	const use = "; use mediate or builtin"
	if b.Containers != "" {
		tell(UnseenByForward, "build.containers has no effect where "+who+" dispatch: forward, which doesn't see containers"+use)
	}
	if b.Images == nil {
		return
	}
	if b.Images.RequireDigest {
		tell(UnseenByForward, "build.images.requireDigest asks for nothing where "+who+" dispatch: forward, because frontends have looked up the digests when their result is judged"+use)
	}
	if len(b.Images.Convert) > 0 {
		tell(UnseenByForward, "build.images.convert comes late where "+who+" dispatch: forward, because frontends have asked the registry of %s by then"+use, b.Images.Convert[0].From)
	}
}

// build looks at rules on builds by themselves.
func (c *checker) build(b *policy.Build, tell tell) {
	if r := b.Images; r != nil {
		allow, deny := r.Patterns()
		c.patternsOf("images", allow, deny, !r.RequireDigest, tell)
		c.conversions(r, tell)
		c.buildPins(r, tell)
	}
	for _, k := range []struct {
		kind string
		r    *policy.PatternRules
	}{{"ociLayout", b.OCILayout}, {"blob", b.Blob}, {"frontends", b.Frontends}} {
		if k.r != nil {
			allow, deny := k.r.Patterns()
			c.patternsOf(k.kind, allow, deny, true, tell)
			if k.kind == "frontends" {
				c.nestedFrontends(allow, tell)
			}
		}
	}
	if r := b.Git; r != nil {
		allow, deny := r.Patterns()
		c.urlsOf("git", allow, deny, r.RequireCommit, tell)
	}
	if r := b.HTTP; r != nil {
		allow, deny := r.Patterns()
		c.urlsOf("http", allow, deny, r.RequireChecksum, tell)
	}
	if r := b.Local; r != nil && slices.ContainsFunc(r.Allow, isAnyTag) && len(r.Deny) == 0 {
		tell(BuildAllowsAny, "build.local allows every folder, so that it restricts nothing; name folders, or remove it")
	}
	if r := b.Exec; r != nil {
		if slices.Contains(r.Networks, policy.NetworkHost) {
			tell(HostNetwork, "build.exec.networks has host, with which commands reach all that the daemon's machine does, its own services too; leave it out")
		}
		if r.Insecure {
			tell(InsecureExec, "build.exec.insecure lets commands run without the sandbox, as root of the daemon's machine; leave it out")
		}
	}
}

// patternsOf looks at patterns of names of one kind. Alone says that nothing else is
// demanded of what they allow.
func (c *checker) patternsOf(kind string, allow, deny []string, alone bool, tell tell) {
	for _, p := range allow {
		if (p == "**" || p == "**/*") && alone && len(deny) == 0 {
			tell(BuildAllowsAny, "build.%s.allow has %s, which is everything; name the hosts, as in corp.example/**, or deny something", kind, p)
		}
	}
	c.denied(kind, allow, deny, tell)
}

// denied looks for what is denied and not allowed anyway.
func (c *checker) denied(kind string, allow, deny []string, tell tell) {
	if len(allow) == 0 {
		return
	}
	allowed := parseAll(allow)
	for i, p := range parseAll(deny) {
		if !anyOverlaps(allowed, p) {
			tell(BuildDenyWithoutEffect, "build.%s.deny has %s, of which allow has nothing; remove it", kind, deny[i])
		}
	}
}

func (c *checker) urlsOf(kind string, allow, deny []string, fixed bool, tell tell) {
	for _, p := range allow {
		scheme, rest, _ := strings.Cut(p, "://")
		if !fixed && (scheme == "http" || scheme == "git") {
			need := "requireChecksum"
			if kind == "git" {
				need = "requireCommit"
			}
			tell(PlainHTTP, "build.%s.allow has %s, of which anybody on the way can send something else; write https, or %s: true", kind, p, need)
		}
		if (rest == "**/**" || rest == "**/") && !fixed && len(deny) == 0 {
			tell(BuildAllowsAny, "build.%s.allow has %s, which is every host; name the hosts, or deny something", kind, p)
		}
	}
	c.denied(kind, asNames(allow), asNames(deny), tell)
}

// asNames writes patterns of URLs as patterns of names that take no less.
func asNames(urls []string) []string {
	out := make([]string, len(urls))
	for i, u := range urls {
		scheme, rest, _ := strings.Cut(u, "://")
		host, path, _ := strings.Cut(rest, "/")
		out[i] = scheme + "/" + strings.ReplaceAll(host, "**", "*") + "/" + path
	}
	return out
}

// nestedFrontends looks for frontends that no rule lets run, of those that another one
// may.
func (c *checker) nestedFrontends(allow []string, tell tell) {
	if c.policy.Default == policy.ActionAllow || len(c.aliases) > 0 {
		return
	}
	runs := func(n names) bool {
		return slices.ContainsFunc(c.rules, func(r rule) bool { return r.allows() && !c.expired(r.Rule) && r.overlaps(n) })
	}
	for i, n := range parseAll(allow) {
		if !runs(n) {
			tell(NestedNotAllowed, "build.frontends.allow has %s, which no rule allows to run; write a rule for it, or remove it", allow[i])
		}
	}
}
