package diff

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// tags returns tags on which the rules may differ. The simplest are first.
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
	if c.builtin {
		ends = append(ends, versions(dockerfileversions.Newest)...)
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

// apart returns one of the tags for each combination of conditions that match it.
func (c *comparison) apart(rules []*policy.Rule, name string, tags []string) []string {
	pinning := c.pinning(name)
	seen := map[string]bool{}
	var out []string
	for _, t := range tags {
		if imageref.CheckTag(t) != nil {
			continue // An example of a glob may be an invalid tag.
		}
		var signature strings.Builder
		for _, r := range rules {
			fmt.Fprint(&signature, r.MatchesTag(t), ",")
		}
		if c.builtin {
			fmt.Fprint(&signature, dockerfileversions.Serves(t))
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

// version is a version that is written in a range.
type version [3]uint64

// versions returns the versions in the text of the range and the versions next to them.
func versions(written string) []version {
	if written == "" {
		return nil
	}
	var out []version
	for _, word := range strings.FieldsFunc(written, func(r rune) bool {
		return (r < '0' || r > '9') &&
			r != '.'
	}) {
		var v version
		for i, part := range strings.Split(word, ".") {
			if n, err := strconv.ParseUint(part, 10, 32); err == nil && i < len(v) {
				v[i] = n
			}
		}
		out = append(out, v, version{v[0], v[1], v[2] + 1}, version{v[0], v[1] + 1, 0},
			version{v[0] + 1, 0, 0},
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

// spellings returns full and partial tags for the version.
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
