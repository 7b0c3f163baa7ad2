package policy

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// fit says how a tag fits the tag conditions of a rule.
type fit int

const (
	outside fit = iota
	partly      // it stands for versions inside and versions outside
	inside
)

// tagFit compares a tag with the rule's tag conditions. For a deny rule, the part before the first
// "-" also counts as a version. Otherwise the tag 1.4-x would get around a rule on 1.4.
func (r *Rule) tagFit(tag string) fit {
	if tag == "" || r.excepts(tag) {
		return outside
	}
	if len(r.Tags) == 0 && r.versions == nil || globs.First(r.Tags, tag) != "" {
		return inside
	}
	if r.versions == nil {
		return outside
	}
	best := outside
	for _, form := range r.versionForms(tag) {
		v, ok := parseTagVersion(form)
		switch {
		case !ok:
		case r.versions.contains(v):
			return inside
		case r.versions.touches(v):
			best = partly
		}
	}
	return best
}

// MatchesTag reports whether the tag meets the rule's tag conditions. An allow rule matches a
// partial version such as 1.7 only if it matches every 1.7.x. A deny rule matches it if it matches
// any 1.7.x.
func (r *Rule) MatchesTag(tag string) bool {
	fit := r.tagFit(tag)
	return fit == inside || fit == partly && r.Action == ActionDeny
}

// versionForms returns the parts of the tag that may be a version.
func (r *Rule) versionForms(tag string) []string {
	forms := []string{tag}
	for _, variant := range r.Variants {
		if base, ok := strings.CutSuffix(tag, "-"+variant); ok {
			forms = append(forms, base)
		}
	}
	if len(forms) > 1 {
		// The suffix is a variant, so it is no prerelease.
		forms = forms[1:]
	}
	if base, _, ok := strings.Cut(tag, "-"); ok && r.Action == ActionDeny {
		forms = append(forms, base, tag)
	}
	return forms
}

// excepts reports whether exceptTags contains the tag. For an allow rule, an excepted tag also
// excepts its variants. For a deny rule, it excepts only itself.
func (r *Rule) excepts(tag string) bool {
	if globs.First(r.ExceptTags, tag) != "" {
		return true
	}
	return r.Action == ActionAllow && slices.ContainsFunc(r.Variants, func(variant string) bool {
		base, ok := strings.CutSuffix(tag, "-"+variant)
		return ok && globs.First(r.ExceptTags, base) != ""
	})
}

// tagCondition describes the rule's tag conditions in a sentence: "tags 1.* or 2.*", "versions
// >=1.4 <2 but not tag 1.5.0".
func (r *Rule) tagCondition() string {
	var parts []string
	if len(r.Tags) > 0 {
		parts = append(parts, list("tag", "tags", r.Tags))
	}
	if r.Versions != "" {
		parts = append(parts, "versions "+safetext.Printable(r.Versions))
	}
	if len(r.ExceptTags) == 0 {
		return strings.Join(parts, " or ")
	}
	except := list("tag", "tags", r.ExceptTags)
	if len(parts) == 0 {
		return "tags other than " + except
	}
	return strings.Join(parts, " or ") + " but not " + except
}
