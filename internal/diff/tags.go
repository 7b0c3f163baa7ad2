package diff

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// tags returns tags on which the rules may differ. The simplest are first.
func (c *comparison) tags(s subject) []string {
	out := []string{"latest", c.fresh}
	seen := map[string]bool{"latest": true, c.fresh: true}
	add := func(t string) {
		if t != "" && !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	var patterns, variants []string
	var ends []versions.Numbers
	for _, r := range s.rules {
		patterns = slices.Concat(patterns, r.Tags, r.ExceptTags)
		variants = append(variants, r.Variants...)
		ends = append(ends, boundaries(r.Versions)...)
		patterns = append(patterns, writtenVersions(r.Versions)...)
	}
	for _, p := range s.pins {
		patterns = append(patterns, slices.Sorted(maps.Keys(p.tags))...)
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
	if s.builtin {
		ends = append(ends, boundaries(dockerfileversions.Newest)...)
	}
	for _, p := range patterns {
		for _, t := range otherReadings(p) {
			add(t)
		}
	}
	if len(ends) > 0 {
		for _, v := range ends {
			for _, t := range spellings(v, c.fresh) {
				add(t)
			}
		}
		for _, t := range slices.Clone(out) {
			for _, v := range variants {
				add(t + "-" + v)
			}
		}
	}
	return apart(s, out)
}

// apart returns one of the tags for each combination of conditions that match it.
func apart(s subject, tags []string) []string {
	seen := map[string]bool{}
	var out []string
	var signature []byte
	for _, t := range tags {
		if imageref.CheckTag(t) != nil {
			continue // An example of a glob may be an invalid tag.
		}
		signature = signature[:0]
		for _, r := range s.rules {
			signature = strconv.AppendBool(signature, r.MatchesTag(t))
		}
		signature = strconv.AppendBool(signature, s.builtin && dockerfileversions.Serves(t))
		for _, p := range s.pins {
			signature = append(append(signature, '|'), p.tags[t]...)
		}
		if !seen[string(signature)] {
			seen[string(signature)] = true
			out = append(out, t)
		}
	}
	return out
}

// otherReadings returns other spellings of a tag that is a version, and the partial versions that
// can be it. Of a glob, it takes the part before the star.
func otherReadings(glob string) []string {
	literal, _, _ := strings.Cut(glob, "*")
	v, ok := versions.ParseTag(strings.TrimSuffix(literal, "."))
	if !ok {
		return nil
	}
	written := v.String()
	out := []string{written, "v" + written}
	for i := strings.LastIndexByte(written, '.'); i > 0; i = strings.LastIndexByte(written[:i], '.') {
		out = append(out, written[:i])
	}
	return out
}

// writtenVersions returns the versions in the text of the range.
func writtenVersions(condition string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(condition,
		func(r rune) bool { return strings.ContainsRune(" ,<>=~^|", r) }),
		func(s string) bool { return imageref.CheckTagGlob(s) != nil })
}

// many is more than the numbers that versions commonly have.
const many = 999

// boundaries returns the versions in the text of the range and the versions next to them. Ones that
// nobody would write come last.
func boundaries(condition string) []versions.Numbers {
	if condition == "" {
		return nil
	}
	var out []versions.Numbers
	fill := func(n versions.Numbers, from int, with uint64) versions.Numbers {
		for i := from; i < len(n); i++ {
			n[i] = with
		}
		return n
	}
	for _, word := range strings.FieldsFunc(condition, func(r rune) bool {
		return (r < '0' || r > '9') && r != '.'
	}) {
		var v versions.Numbers
		for i, part := range strings.Split(word, ".") {
			if n, err := strconv.ParseUint(part, 10, 64); err == nil && i < len(v) {
				v[i] = n
			}
		}
		out = append(out, v)
		for i := len(v) - 1; i >= 0; i-- {
			after, before := fill(v, i+1, 0), fill(v, i+1, many)
			if after[i]++; after[i] != 0 {
				out = append(out, after)
			}
			if v[i] > 0 {
				before[i]--
				out = append(out, before)
			}
			out = append(out, fill(v, i, many))
		}
	}
	return append(out, versions.Numbers{}, fill(versions.Numbers{}, 0, many),
		fill(versions.Numbers{}, 0, math.MaxUint64))
}

// spellings returns full and partial tags for the version.
func spellings(v versions.Numbers, suffix string) []string {
	major := strconv.FormatUint(v[0], 10)
	minor := major + "." + strconv.FormatUint(v[1], 10)
	patch := minor + "." + strconv.FormatUint(v[2], 10)
	out := []string{major, minor, patch, "v" + patch, patch + "-rc1", patch + "-0"}
	for _, s := range []string{major, minor, patch} {
		out = append(out, s+"-"+suffix)
	}
	return append(out, patch+"."+strconv.FormatUint(v[3], 10))
}
