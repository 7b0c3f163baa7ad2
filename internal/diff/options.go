package diff

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// options returns sets of options on which the rules may differ. The first is empty. A build is
// refused for one option at a time, so each of the others has one option, beside a platform where
// a rule wants one.
func (c *comparison) options(rules []*policy.Rule) []map[string]string {
	out := []map[string]string{nil}
	for _, k := range c.optionKeys(rules) {
		for _, v := range c.optionValues(rules, k) {
			out = append(out, map[string]string{k: v})
		}
	}
	single := out[1:]
	for _, p := range c.platforms(rules) {
		out = append(out, map[string]string{platformOption: p})
		for _, o := range single {
			if _, ok := o[platformOption]; !ok {
				o = maps.Clone(o)
				o[platformOption] = p
				out = append(out, o)
			}
		}
	}
	return out
}

// platformOption is the option with the platforms that a build is for.
const platformOption = "platform"

// platforms returns the platforms that rules name, and one that no rule names. A build for several
// is refused for one of them at a time.
func (c *comparison) platforms(rules []*policy.Rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Platforms...)
	}
	if len(out) == 0 {
		return nil
	}
	return distinct(append(out, "linux/"+c.fresh))
}

// optionValues returns the values that the rules force for the option or its twins, and another
// one.
func (c *comparison) optionValues(rules []*policy.Rule, key string) []string {
	out := []string{c.fresh}
	for _, r := range rules {
		for _, k := range slices.Sorted(maps.Keys(r.Options.Force)) {
			if optionkeys.Canonical(k) == optionkeys.Canonical(key) {
				out = append(out, r.Options.Force[k])
			}
		}
	}
	return distinct(out)
}

// optionKeys returns an option for each combination of the rules' conditions on options. There are
// none if the rules have no such conditions.
func (c *comparison) optionKeys(rules []*policy.Rule) []string {
	var patterns []string
	for _, r := range rules {
		o := &r.Options
		patterns = slices.Concat(patterns, o.Deny, o.Strip, o.Only, slices.Sorted(maps.Keys(o.Force)))
	}
	if len(patterns) == 0 {
		return nil
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	keys := []string{c.fresh}
	for _, p := range c.meets(patterns) {
		for _, fill := range []string{c.fresh, ""} {
			if key := globs.Example(p, fill); key != "" {
				keys = append(keys, key)
			}
		}
	}
	for _, k := range optionkeys.Known() {
		if slices.ContainsFunc(patterns, func(p string) bool { return optionkeys.Matches(p, k) }) {
			keys = append(keys, k) // also as a twin of an option in the rules
		}
	}
	for _, k := range slices.Clone(keys) {
		keys = append(keys, c.twins(k, patterns)...)
	}
	return differing(distinct(keys), patterns)
}

// twins returns other spellings of an option, and for a named context those of other platforms.
func (c *comparison) twins(key string, patterns []string) []string {
	out := []string{optionkeys.Canonical(key)}
	if kind, ok := strings.CutPrefix(out[0], "attest:"); ok {
		out = append(out, optionkeys.BuildArgPrefix+"BUILDKIT_ATTEST_"+kind)
	}
	name, ok := optionkeys.NamedContext(key)
	if !ok {
		return out
	}
	short := strings.TrimPrefix(out[0], optionkeys.ContextPrefix)
	names := []string{name, short, short + ":latest", "docker.io/library/" + short}
	suffixes := []string{"", "::linux/amd64", "::linux/" + c.fresh}
	for _, p := range patterns {
		if n, ok := optionkeys.NamedContext(p); ok {
			suffixes = append(suffixes, strings.TrimPrefix(p, optionkeys.ContextPrefix+n))
		}
	}
	for _, n := range names {
		for _, s := range distinct(suffixes) {
			out = append(out, optionkeys.ContextPrefix+n+globs.Example(s, c.fresh))
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
		fmt.Fprint(&signature, optionkeys.CarriesBuild(k), optionkeys.SentByItself(k),
			k == platformOption)
		for _, p := range patterns {
			fmt.Fprint(&signature, globs.Match(p, k), optionkeys.Matches(p, k),
				optionkeys.FirstDenied([]string{p}, k) != "",
				optionkeys.Canonical(p) == optionkeys.Canonical(k))
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
