package diff

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// tags returns tags on which the rules may differ, the plainest first.
func (c *comparison) tags(rules []*policy.Rule, name string) []string {
	out := []string{"latest", c.fresh}
	seen := map[string]bool{"latest": true, c.fresh: true}
	add := func(t string) {
		if t != "" && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	var patterns, variants []string
	var ends []version
	for _, r := range rules {
		patterns = slices.Concat(patterns, r.Tags, r.ExceptTags)
		variants = append(variants, r.Variants...)
		ends = append(ends, versions(r.Versions)...)
	}
	for _, a := range c.pinning(name) {
		patterns = append(patterns, slices.Sorted(maps.Keys(a.Pins))...)
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	for _, p := range c.meets(patterns) {
		if !globs.Open(p) {
			add(p)
			continue
		}
		for _, fill := range []string{c.fresh, "", "0", "9", "0.0", "9.9"} {
			add(globs.Example(p, fill))
		}
	}
	if len(ends) > 0 {
		for _, v := range ends {
			for _, s := range v.spellings(c.fresh) {
				add(s)
			}
		}
		for _, t := range slices.Clone(out) {
			for _, v := range variants {
				add(t + "-" + v)
			}
		}
	}
	return c.apart(rules, name, out)
}

// apart returns the first of all tags that no condition tells apart.
func (c *comparison) apart(rules []*policy.Rule, name string, tags []string) []string {
	var conditions []policy.Layers
	for _, r := range rules {
		if l, ok := c.condition(r); ok {
			conditions = append(conditions, l)
		}
	}
	pinning := c.pinning(name)
	seen := map[string]bool{}
	var out []string
	for _, t := range tags {
		ref, err := imageref.Parse(name + ":" + t)
		if err != nil {
			continue // A glob can hold texts that are no tags.
		}
		var signature strings.Builder
		for _, l := range conditions {
			signature.WriteString(string(policy.Decide(l, policy.Request{Reference: ref}).Verdict))
		}
		for _, a := range pinning {
			fmt.Fprintf(&signature, "|%s", a.Pins[t])
		}
		if s := signature.String(); !seen[s] {
			seen[s] = true
			out = append(out, t)
		}
	}
	return out
}

// condition returns a policy that asks nothing but whether a tag is one of the rule's.
// It is false for a rule that has no condition on tags.
func (c *comparison) condition(r *policy.Rule) (policy.Layers, bool) {
	if !r.TagConditional() {
		return policy.Layers{}, false
	}
	if l, ok := c.conditions[r]; ok {
		return l, true
	}
	p := policy.Policy{Version: policy.Version, Default: policy.ActionAllow, Frontends: []policy.Rule{{
		Match: []string{"**"}, Tags: r.Tags, Versions: r.Versions, Variants: r.Variants, ExceptTags: r.ExceptTags, Action: r.Action,
	}}}
	if r.Action == policy.ActionAllow {
		p.Default = policy.ActionDeny
	}
	text, err := yaml.Marshal(p)
	if err != nil {
		return policy.Layers{}, false
	}
	parsed, err := policy.Parse("condition", text)
	if err != nil {
		return policy.Layers{}, false
	}
	l, err := policy.Stack(parsed, nil)
	c.conditions[r] = l
	return l, err == nil
}

// version is a version that is written in a range.
type version [3]uint64

// versions returns those that the range spells out, with their neighbours.
func versions(written string) []version {
	if written == "" {
		return nil
	}
	var out []version
	for _, word := range strings.FieldsFunc(written, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) {
		var v version
		for i, part := range strings.Split(word, ".") {
			if n, err := strconv.ParseUint(part, 10, 32); err == nil && i < len(v) {
				v[i] = n
			}
		}
		out = append(out, v, version{v[0], v[1], v[2] + 1}, version{v[0], v[1] + 1, 0}, version{v[0] + 1, 0, 0},
			version{v[0], v[1], 999}, version{v[0], 999, 999})
		switch {
		case v[2] > 0:
			out = append(out, version{v[0], v[1], v[2] - 1})
		case v[1] > 0:
			out = append(out, version{v[0], v[1] - 1, 999})
		case v[0] > 0:
			out = append(out, version{v[0] - 1, 999, 999})
		}
	}
	return append(out, version{0, 0, 0}, version{999, 999, 999})
}

// spellings returns the version as tags have it, wholly or in part.
func (v version) spellings(suffix string) []string {
	major := strconv.FormatUint(v[0], 10)
	minor := major + "." + strconv.FormatUint(v[1], 10)
	patch := minor + "." + strconv.FormatUint(v[2], 10)
	out := []string{major, minor, patch, "v" + patch, patch + "-rc1", patch + "-0"}
	for _, s := range []string{major, minor, patch} {
		out = append(out, s+"-"+suffix)
	}
	return out
}
