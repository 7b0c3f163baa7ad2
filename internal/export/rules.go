package export

import (
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// rule is a rule in the form that source policies and Rego have in common.
type rule struct {
	*policy.Rule
	names  []string // patterns, those of an allow rule within the limits
	tags   []string // regular expressions for the tag; any or none if empty
	except []string // likewise, for tags that an allow rule is not for
}

// starTag stands for a "*" in a tag.
const starTag = `[\w.-]*`

// rules returns the rules to export. What a deny rule can't say it denies more of;
// what an allow rule can't say it is left out for.
func (e *exporter) rules() (allow, deny []rule) {
	for i := range e.policy.Frontends {
		r := &e.policy.Frontends[i]
		if !e.current(r) {
			continue
		}
		if r.Action == policy.ActionDeny {
			deny = append(deny, rule{Rule: r, names: r.Patterns(), tags: e.denyTags(r)})
			continue
		}
		if names := optionConditions(r); names != "" && !e.lose(r, "options are not exported (%s): only the policy frontend sees them", names) {
			// A build that the rule refuses for its options is not for later rules.
			deny = append(deny, rule{Rule: r, names: r.Patterns()})
			continue
		}
		if names := strings.Join(e.buildConditions(r), ", "); names != "" && !e.lose(r, "what the frontend builds is not judged (%s): only the policy frontend sees it", names) {
			deny = append(deny, rule{Rule: r, names: r.Patterns()})
			continue
		}
		out := rule{Rule: r, names: e.withinLimits(r)}
		var ok bool
		if out.tags, ok = e.allowTags(r); !ok || len(out.names) == 0 {
			continue
		}
		out.except = exceptRegexes(r)
		allow = append(allow, out)
	}
	return allow, deny
}

// withinLimits returns the rule's patterns as far as the limits have them.
func (e *exporter) withinLimits(r *policy.Rule) []string {
	limits := e.policy.Limits.Patterns()
	if len(limits) == 0 {
		return r.Patterns()
	}
	var out []string
	for _, p := range r.Patterns() {
		for _, l := range limits {
			both, all := globs.ParseName(p).Meet(globs.ParseName(l))
			for _, b := range both {
				out = append(out, b.String())
			}
			if !all {
				e.note(r, RefusesMore, "what the pattern %s and the limit %s have in common is too much to write out; some of it is left out", p, l)
			}
		}
	}
	if len(out) == 0 {
		e.note(r, Different, "the limits leave nothing of the rule, so it is left out")
	}
	return out
}

// allowTags returns regular expressions for the tags of an allow rule. It is false
// if no tag can be written.
func (e *exporter) allowTags(r *policy.Rule) ([]string, bool) {
	if !r.TagConditional() {
		return nil, true
	}
	var out []string
	for _, t := range r.Tags {
		out = append(out, globRegex(t, starTag))
	}
	if r.Versions != "" {
		ranges, err := spans(r.Versions)
		if err != nil {
			e.note(r, RefusesMore, "versions %s can't be written out and are left out: %v", r.Versions, err)
		}
		if strings.Contains(r.Versions, "-") {
			e.note(r, RefusesMore, "prereleases in versions are not exported, only releases")
		}
		for _, s := range ranges {
			for _, v := range s.inside() {
				out = append(out, "v?"+v+variants(r))
			}
		}
	}
	if len(out) == 0 && len(r.Tags) == 0 && r.Versions == "" {
		out = []string{starTag} // exceptTags alone
	}
	if len(out) == 0 {
		e.note(r, RefusesMore, "the rule is left out: no tag of it can be written")
	}
	return out, len(out) > 0
}

// variants writes the suffixes that a version can have.
func variants(r *policy.Rule) string {
	if len(r.Variants) == 0 {
		return ""
	}
	suffixes := make([]string, len(r.Variants))
	for i, v := range r.Variants {
		suffixes[i] = globRegex(v, starTag)
	}
	return "(?:-" + anyOf(suffixes) + ")?"
}

// exceptRegexes returns the tags that an allow rule is not for. A variant of such
// a tag is none either.
func exceptRegexes(r *policy.Rule) []string {
	var out []string
	for _, t := range r.ExceptTags {
		out = append(out, globRegex(t, starTag)+variants(r))
	}
	return out
}

// denyTags returns regular expressions for at least the tags of a deny rule.
func (e *exporter) denyTags(r *policy.Rule) []string {
	if !r.TagConditional() {
		return nil
	}
	if len(r.ExceptTags) > 0 {
		e.note(r, RefusesMore, "exceptTags of a deny rule are not exported: it denies them too")
	}
	var out []string
	for _, t := range r.Tags {
		out = append(out, globRegex(t, starTag))
	}
	if r.Versions == "" {
		return out // With exceptTags alone, any tag.
	}
	ranges, err := spans(r.Versions)
	if err != nil || len(ranges) == 0 || strings.Contains(r.Versions, "-") {
		e.note(r, RefusesMore, "versions %s can't be written out: the rule denies every tag", r.Versions)
		return nil
	}
	for _, s := range ranges {
		for _, v := range s.touching() {
			out = append(out, "v?"+v)
		}
		// A suffix may be a variant, or make a prerelease of the version behind the range.
		for _, v := range s.after().touching() {
			out = append(out, "v?"+v+`-[\w.-]*`)
		}
	}
	return out
}
