package imagerules

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/versions"
)

// fit says how a tag fits the tag conditions of a rule.
type fit int

const (
	outside    fit = iota
	unreadable     // it can't be compared with the versions
	partly         // it stands for versions inside and outside
	inside
)

// tagFit compares a tag with the rule's conditions on it. An allow rule takes the tags that
// are written, and leaves out all that the exceptions can mean. A deny rule is the other way
// round.
func (r *Rule) tagFit(tag string) fit {
	if tag == "" {
		return outside
	}
	best := r.conditionFit(tag)
	switch excepted := r.exceptFit(tag); {
	case excepted == inside:
		return outside
	case excepted == partly && best != outside:
		return partly
	}
	return best
}

// conditionFit compares a tag with tags and versions.
func (r *Rule) conditionFit(tag string) fit {
	if len(r.Tags) == 0 && r.versions == nil {
		return inside
	}
	best := outside
	switch {
	case r.Action == ActionAllow && globs.First(r.Tags, tag) != "":
		return inside
	case r.Action == ActionDeny:
		for _, form := range append(r.withoutVariants(tag, anyCase), tag) {
			best = max(best, readTag(r.Tags, form))
		}
	}
	if r.versions == nil || best == inside {
		return best
	}
	return max(best, r.versionFit(tag))
}

// versionFit compares a tag with versions. For a deny rule, a tag with a suffix that says
// something of its own still is its version: 1.4-x is no way around a rule on 1.4.
func (r *Rule) versionFit(tag string) fit {
	best := outside
	if r.Action == ActionDeny {
		best = unreadable
	}
	for _, form := range r.versionForms(tag) {
		v, ok := versions.ParseTag(form)
		switch {
		case !ok:
		case r.versions.Contains(v, r.reading()):
			return inside
		case r.versions.Touches(v, r.reading()):
			best = partly
		case best == unreadable:
			best = outside
		}
	}
	return best
}

// readTag compares a tag with globs in each reading of it: without letter case, with and
// without "v" and leading zeros, and with the numbers that a partial version can have.
func readTag(list []string, tag string) fit {
	if len(list) == 0 {
		return outside
	}
	lower := strings.ToLower(tag)
	v, isVersion := versions.ParseTag(tag)
	base, suffix, hasSuffix := strings.Cut(lower, "-")
	baseVersion, isBase := versions.ParseTag(base)
	best := outside
	for _, g := range list {
		g = strings.ToLower(g)
		if globs.Match(g, lower) {
			return inside
		}
		if isVersion {
			best = max(best, readVersion(g, v))
		}
		if hasSuffix && isBase {
			best = max(best, readSuffixed(g, baseVersion, suffix))
		}
	}
	return best
}

// readSuffixed compares a version and what follows it with a glob for tags in lower case: 1.5-x can
// be 1.5.3-x, which 1.5.* and 1.5.3-x match.
func readSuffixed(glob string, v versions.Tag, suffix string) fit {
	if globs.Match(PlainGlob(glob), v.String()+"-"+suffix) {
		return inside
	}
	base, other, ok := strings.Cut(glob, "-")
	if ok && globs.Match(other, suffix) || !ok && strings.HasSuffix(glob, "*") {
		return readVersion(base, v)
	}
	return outside
}

// PlainGlob returns a glob for tags in lower case as versions are written: without "v", and without
// the zeros before a number. 2026.01.* is also for 2026.1.3.
func PlainGlob(glob string) string {
	if len(glob) > 1 && glob[0] == 'v' && strings.Contains("0123456789*", glob[1:2]) {
		glob = glob[1:]
	}
	numbers, suffix, hasSuffix := strings.Cut(glob, "-")
	parts := strings.Split(numbers, ".")
	for i, part := range parts {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			parts[i] = cmp.Or(strings.TrimLeft(part, "0"), "0")
		}
	}
	numbers = strings.Join(parts, ".")
	if hasSuffix {
		numbers += "-" + suffix
	}
	return numbers
}

// readVersion compares a version with a glob for tags in lower case.
func readVersion(glob string, v versions.Tag) fit {
	if !globs.Open(glob) {
		other, ok := versions.ParseTag(glob)
		switch {
		case ok && v.Same(other):
			return inside
		case ok && v.CanBe(other):
			return partly
		}
		return outside
	}
	glob = PlainGlob(glob)
	switch written := strings.ToLower(v.String()); {
	case globs.Match(glob, written):
		return inside
	case !v.IsPrerelease() && globs.MatchesVersion(glob, written, versions.Parts):
		return partly
	}
	return outside
}

// MatchesTag reports whether the rule's conditions on the tag hold for it. An allow rule
// matches a partial version such as 1.7 only if it matches every 1.7.x. A deny rule matches it
// if it matches any, and a tag that can't be compared with its versions.
func (r *Rule) MatchesTag(tag string) bool {
	fit := r.tagFit(tag)
	return fit == inside || fit != outside && r.Action == ActionDeny
}

// Whether the letter case of variants matters: it does in what is allowed, not in what is denied.
const (
	exactCase = false
	anyCase   = true
)

// withoutVariants returns the tag without each of the variants that it has.
func (r *Rule) withoutVariants(tag string, fold bool) []string {
	var forms []string
	for _, variant := range r.Variants {
		n := len(tag) - len(variant) - 1
		if n < 0 {
			continue
		}
		end := tag[n:]
		if end == "-"+variant || fold && strings.EqualFold(end, "-"+variant) {
			forms = append(forms, tag[:n])
		}
	}
	return forms
}

// asPrerelease returns a tag with a suffix as a prerelease of the version before it: 2-rc1 as
// 2.0.0-rc1. A suffix that no prerelease has counts as the first one.
func asPrerelease(tag string) string {
	base, suffix, ok := strings.Cut(tag, "-")
	if !ok {
		return tag
	}
	for strings.Count(base, ".") < 2 {
		base += ".0"
	}
	if _, ok := versions.ParseTag(base + "-" + suffix); !ok {
		suffix = "0"
	}
	return base + "-" + suffix
}

// versionForms returns what of the tag may be a version.
func (r *Rule) versionForms(tag string) []string {
	forms := r.withoutVariants(tag, r.Action == ActionDeny)
	if len(forms) == 0 { // With a suffix that is a variant, the tag is no prerelease.
		forms = []string{tag}
	}
	if base, _, ok := strings.Cut(tag, "-"); ok && r.Action == ActionDeny {
		forms = append(forms, base, tag, asPrerelease(tag))
	}
	return forms
}

// exceptFit compares a tag with exceptTags. An allow rule takes a variant of an excepted tag
// for that tag, and each reading of the tag; a deny rule excepts only what is written.
func (r *Rule) exceptFit(tag string) fit {
	if r.Action == ActionDeny {
		if globs.First(r.ExceptTags, tag) != "" {
			return inside
		}
		return outside
	}
	best := readTag(r.ExceptTags, tag)
	for _, form := range r.withoutVariants(tag, anyCase) {
		best = max(best, readTag(r.ExceptTags, form))
	}
	return best
}

// cure says which variant the rule would need to match a tag that is a version with a suffix,
// or "".
func (r *Rule) cure(tag string) string {
	base, suffix, ok := strings.Cut(tag, "-")
	if !ok || r.versions == nil || len(r.withoutVariants(tag, exactCase)) > 0 {
		return ""
	}
	if v, ok := versions.ParseTag(base); !ok || !r.versions.Contains(v, r.reading()) {
		return ""
	}
	return fmt.Sprintf(" (for %s as a variant of %s, the rule needs variants: [%s])", tag, base,
		suffix)
}

// reading returns how the rule reads its versions.
func (r *Rule) reading() versions.Reading {
	if r.Action == ActionDeny {
		return versions.Most
	}
	return versions.Least
}

// tagCondition describes the rule's tag conditions in a sentence: "tags 1.* or 2.*", "versions
// >=1.4 <2 but not tag 1.5.0".
func (r *Rule) tagCondition() string {
	var parts []string
	if len(r.Tags) > 0 {
		parts = append(parts, safetext.List("tag", "tags", r.Tags))
	}
	if r.Versions != "" {
		text := "versions " + safetext.Printable(r.Versions)
		if words := r.versions.Words(r.reading()); words != "" {
			text += " (read as " + safetext.Printable(words) + ")"
		}
		parts = append(parts, text)
	}
	if len(r.ExceptTags) == 0 {
		return strings.Join(parts, " or ")
	}
	except := safetext.List("tag", "tags", r.ExceptTags)
	if len(parts) == 0 {
		return "tags other than " + except
	}
	return strings.Join(parts, " or ") + " but not " + except
}
