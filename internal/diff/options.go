package diff

import (
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// options returns sets of options on which the rules may differ. The first is empty. A build is
// refused for one option at a time, so each of the others has one option.
func (c *comparison) options(rules []*policy.Rule) []map[string]string {
	out := []map[string]string{nil}
	var patterns []string
	values := map[string][]string{}
	for _, r := range rules {
		o := &r.Options
		patterns = slices.Concat(patterns, o.Deny, o.Strip, o.Only)
		for k, v := range o.Force {
			patterns = append(patterns, k)
			values[k] = append(values[k], v)
		}
	}
	if len(patterns) == 0 {
		return out
	}
	slices.Sort(patterns)
	keys := []string{c.fresh}
	for _, p := range c.meets(slices.Compact(patterns)) {
		for _, fill := range []string{c.fresh, ""} {
			if key := globs.Example(p, fill); key != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	for _, k := range optionkeys.Known() {
		if slices.ContainsFunc(patterns, func(p string) bool { return optionkeys.Matches(p, k) }) {
			keys = append(keys, k) // also as a twin of an option in the rules
		}
	}
	for _, k := range differing(keys, patterns) {
		for _, v := range append([]string{c.fresh}, values[k]...) {
			out = append(out, map[string]string{k: v})
		}
	}
	return out
}

// differing returns one of the keys for each combination of matching globs.
func differing(keys, patterns []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, k := range keys {
		var signature strings.Builder
		if optionkeys.CarriesBuild(k) {
			signature.WriteString("exempt")
		}
		if optionkeys.SentByItself(k) {
			signature.WriteString("sent")
		}
		for _, p := range patterns {
			signature.WriteString(strconv.FormatBool(globs.Match(p, k)))
			signature.WriteString(strconv.FormatBool(optionkeys.Matches(p, k)))
		}
		if s := signature.String(); !seen[s] {
			seen[s] = true
			out = append(out, k)
		}
	}
	return out
}

// inputs returns an empty list of inputs, and another one if a rule refuses inputs.
func (c *comparison) inputs(rules []*policy.Rule) [][]string {
	if slices.ContainsFunc(rules,
		func(r *policy.Rule) bool { return r.Options.Inputs == policy.ActionDeny }) {
		return [][]string{nil, {c.fresh}}
	}
	return [][]string{nil}
}

// meets returns the globs and the overlap of each pair of them.
func (c *comparison) meets(list []string) []string {
	out := slices.Clone(list)
	for i, a := range list {
		for _, b := range list[:i] {
			if !c.spend(meetWork) {
				return out
			}
			if !globs.Open(a) && !globs.Open(b) {
				continue
			}
			forms, ok := globs.Meet(a, b)
			c.complete = c.complete && ok
			for _, f := range forms {
				if !slices.Contains(out, f) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}
