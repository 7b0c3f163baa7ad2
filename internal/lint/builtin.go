package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// builtIn looks for references that a rule allows and the built-in Dockerfile frontend
// refuses.
func (c *checker) builtIn(r *rule) {
	for _, p := range r.Patterns() {
		if !strings.HasSuffix(p, "/docker/dockerfile") {
			c.addRule(BuiltinRefuses, r.Rule, "dispatch: builtin serves only docker/dockerfile and mirrors "+
				"of that name, so other frontends like %s are refused; write a rule for them with another "+
				"dispatch", p)
			break
		}
	}
	pins := func(a alias) bool {
		return len(a.Pins) > 0 && slices.ContainsFunc(r.match,
			func(n names) bool { return a.to.Overlaps(n) })
	}
	switch {
	case len(r.Digests) > 0 || r.RequireDigest:
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend has no digest, so dispatch: builtin "+
			"refuses references by digest; remove digests and requireDigest, or use another dispatch")
	case slices.ContainsFunc(c.aliases, pins):
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend has no digest, so dispatch: builtin "+
			"refuses tags that an alias pins; remove the pins, or use another dispatch")
	case c.builtin != "" && r.TagConditional() && !builtinTag(r.Rule, c.builtin):
		c.addRule(BuiltinRefuses, r.Rule, "the built-in frontend serves the versions 1.0 to %s, and "+
			"the rule "+
			"matches none of them; use other tags or versions, or another dispatch", c.builtin)
	}
}

// builtinTag reports whether the rule matches a tag that this version of the built-in
// frontend serves (frontend/builtin.go).
func builtinTag(r *policy.Rule, version string) bool {
	condition := policy.Policy{Version: policy.Version, Frontends: []policy.Rule{{
		Match: []string{"**"}, Tags: r.Tags, Versions: r.Versions, Variants: r.Variants,
		ExceptTags: r.ExceptTags,
	}}}
	text, err := yaml.Marshal(condition)
	if err != nil {
		return true
	}
	p, err := policy.Parse("condition", text)
	if err != nil {
		return true
	}
	layers, err := policy.Stack(p, nil)
	if err != nil {
		return true
	}
	newest, err := semver.NewVersion(version)
	if err != nil {
		return true
	}
	tags := append([]string{"latest", "labs"}, r.Tags...)
	for minor := range newest.Minor() + 1 {
		for patch := range 20 {
			tags = append(tags, fmt.Sprintf("1.%d.%d", minor, patch))
		}
		tags = append(tags, fmt.Sprintf("1.%d", minor))
	}
	for _, t := range slices.Concat([]string{"1"}, tags) {
		tags = append(tags, t, t+"-labs")
	}
	serves := func(tag string) bool {
		tag = strings.TrimSuffix(tag, "-labs")
		v, err := semver.NewVersion(tag)
		return tag == "latest" || tag == "labs" || err == nil && v.Major() > 0 && !v.GreaterThan(newest)
	}
	return slices.ContainsFunc(tags, func(t string) bool {
		ref, err := imageref.Parse("docker/dockerfile:" + t)
		return err == nil && serves(t) && policy.Decide(layers,
			policy.Request{Reference: ref}).Verdict == policy.Allow
	})
}
