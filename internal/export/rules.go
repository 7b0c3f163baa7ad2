package export

import (
	"regexp"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// rule is a rule in the form that source policies and Rego share.
type rule struct {
	*policy.Rule
	names  []string // patterns; for an allow rule, only the part within the limits
	tags   []string // regular expressions for the tag; if empty, any tag or none
	except []string // regular expressions for the exceptTags of an allow rule
}

// starTag stands for a "*" in a tag.
const starTag = `[\w.-]*`

// forClients is why an allow rule for some clients isn't exported.
const forClients = "the rule is omitted, because it is for some clients, and only policy-guard " +
	"knows who builds"

// rules returns the rules to export. If a condition can't be expressed, a deny rule denies
// more, and an allow rule is omitted.
func (e *exporter) rules() (allow, deny []rule) {
	for i := range e.doc.Frontends {
		r := &e.doc.Frontends[i]
		if !e.current(r) {
			continue
		}
		if r.Action == policy.ActionDeny {
			deny = append(deny, e.denied(r)...)
			continue
		}
		if len(r.Clients) > 0 {
			e.note(r, RefusesMore, forClients)
			if optionConditions(r) != "" || len(e.buildConditions(r)) > 0 {
				// A later rule must not allow its clients a build that this rule refuses.
				deny = append(deny, rule{Rule: r, names: r.Patterns()})
			}
			continue
		}
		if names := optionConditions(r); names != "" && !e.lose(r, "options are not exported (%s): "+
			"only the policy frontend sees them", names) {
			// A later rule must not allow a build that this rule refuses for its options.
			deny = append(deny, rule{Rule: r, names: r.Patterns()})
			continue
		}
		if names := strings.Join(e.buildConditions(r), ", "); names != "" &&
			!e.lose(r, "the export doesn't check what the frontend builds (%s): only the policy frontend "+
				"sees it", names) {
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

// denied returns a deny rule. If it has conditions on the tag, what its literal names mean besides
// those repositories is denied under every tag, because a repository's tag can't be told from the
// tag of another.
func (e *exporter) denied(r *policy.Rule) []rule {
	tags := e.denyTags(r)
	if len(tags) == 0 {
		return []rule{{Rule: r, names: r.Patterns()}}
	}
	var names, others []string
	for _, written := range r.Match {
		patterns, err := imageref.ParseDenyPattern(written)
		if err != nil {
			continue // A policy can't have such a pattern.
		}
		name := strings.Replace(patterns[0].String(), ":*/", "/", 1)
		for i, p := range patterns {
			switch {
			case globs.Open(name):
				names = append(names, p.String())
			case i == 0:
				names = append(names, name)
				if ported := strings.Replace(p.String(), ":*/", somePort+"/", 1); ported != name {
					others = append(others, ported)
				}
			default:
				others = append(others, p.String())
			}
		}
	}
	out := []rule{{Rule: r, names: names, tags: tags}}
	if len(others) > 0 {
		e.note(r, RefusesMore, "on other ports, on other hosts of docker.io and below its names, the "+
			"rule denies every tag")
		out = append(out, rule{Rule: r, names: others})
	}
	return out
}

// withinLimits returns patterns for the names that the rule matches and the limits allow.
func (e *exporter) withinLimits(r *policy.Rule) []string {
	limits := e.doc.Limits.Patterns()
	if len(limits) == 0 {
		return r.Patterns()
	}
	var out []string
	for _, p := range r.Patterns() {
		for _, l := range limits {
			both, all := globs.ParseImage(p).Meet(globs.ParseImage(l))
			for _, b := range both {
				out = append(out, b.String())
			}
			if !all {
				e.note(r, RefusesMore, "the overlap of the pattern %s and the limit %s is too large to "+
					"write; some of it is omitted", p, l)
			}
		}
	}
	if len(out) == 0 {
		e.note(r, Different, "the limits refuse everything that the rule allows, so it is omitted")
	}
	return out
}

// allowTags returns regular expressions for the tags of an allow rule. It is false if none
// of its tags can be expressed.
func (e *exporter) allowTags(r *policy.Rule) ([]string, bool) {
	if !r.TagConditional() {
		return nil, true
	}
	var out []string
	for _, t := range r.Tags {
		out = append(out, globRegex(t, starTag))
	}
	if r.Versions != "" {
		condition, err := versions.Parse(r.Versions)
		if err != nil {
			return nil, false // A policy can't have such a condition.
		}
		if condition.NamesPrerelease() {
			e.note(r, RefusesMore, "versions are exported without prereleases")
		}
		for _, s := range spans(condition, versions.Least) {
			for _, v := range s.inside() {
				out = append(out, "[vV]?"+v+variants(r))
			}
		}
	}
	if len(out) == 0 && len(r.Tags) == 0 && r.Versions == "" {
		out = []string{starTag} // exceptTags alone
	}
	if len(out) == 0 {
		e.note(r, RefusesMore, "the rule is omitted: none of its tags can be expressed")
	}
	return out, len(out) > 0
}

// variants returns a regular expression for the suffixes that a version can have.
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

// foldedVariants is [variants] in any letter case, for what is denied.
func foldedVariants(r *policy.Rule) string {
	if len(r.Variants) == 0 {
		return ""
	}
	return "(?i:" + variants(r) + ")"
}

// exceptRegexes returns regular expressions for the rule's exceptTags, in each reading, and their
// variants.
func exceptRegexes(r *policy.Rule) []string {
	var out []string
	for _, t := range r.ExceptTags {
		for _, reading := range readings(t) {
			out = append(out, reading+foldedVariants(r))
		}
	}
	return out
}

// readings returns regular expressions for all that a denied tag or glob can mean, or for more:
// without letter case, with and without "v" and leading zeros, and the partial versions that can
// be one that it matches.
func readings(glob string) []string {
	lower := strings.ToLower(glob)
	out := []string{"(?i:" + globRegex(lower, starTag) + ")"}
	lower = imagerules.PlainGlob(lower)
	out = append(out, "(?i:v?"+zerosRegex(lower)+")")
	base, suffix, hasSuffix := strings.Cut(lower, "-")
	tail := ""
	switch {
	case hasSuffix:
		tail = "-(?i:" + globRegex(suffix, starTag) + ")"
	case strings.HasSuffix(lower, "*"):
		tail = `(?:-[\w.-]*)?` // The star can stand for a suffix too.
	}
	if strings.Trim(base, "0123456789.*") != "" {
		return out // A partial version is only numbers.
	}
	switch literal, _, open := strings.Cut(base, "*"); {
	case literal == "":
		return append(out, `[vV]?[0-9.]+`+tail)
	case open:
		// A version goes on behind the literal numbers in any way, and may end within them.
		out = append(out, "[vV]?"+zerosRegex(literal)+`[0-9.]*`+tail)
		base = strings.TrimSuffix(literal, ".")
	}
	numbers := strings.Split(base, ".")
	if len(numbers) == 3 {
		out = append(out, "[vV]?"+zerosRegex(base)+`\.0+`+tail)
	}
	return append(out, "[vV]?"+beginnings(numbers)+tail)
}

// zerosRegex writes a glob as a regular expression that allows leading zeros.
func zerosRegex(glob string) string {
	isDigit := func(i int) bool { return i >= 0 && glob[i] >= '0' && glob[i] <= '9' }
	var b strings.Builder
	for i := range len(glob) {
		if isDigit(i) && !isDigit(i-1) {
			b.WriteString(`0*`)
		}
		if glob[i] == '*' {
			b.WriteString(starTag)
		} else {
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	return b.String()
}

// beginnings returns a regular expression for the first number, the first two and so on, with
// leading zeros.
func beginnings(numbers []string) string {
	s := `0*` + strings.TrimLeft(numbers[0], "0")
	if len(numbers) > 1 {
		s += `(?:\.` + beginnings(numbers[1:]) + `)?`
	}
	return s
}

// unreadable returns regular expressions for the tags that can't be compared with versions, also
// without what follows their first "-".
func unreadable() []string {
	const numbers = `[vV]?[0-9]+(?:\.[0-9]+)`
	return []string{
		`[a-uw-zA-UW-Z_][\w.-]*`,
		`[vV](?:[a-zA-Z_.-][\w.-]*)?`,
		numbers + `{0,3}[a-zA-Z_][\w.-]*`,
		numbers + `{0,3}\.(?:[a-zA-Z_.-][\w.-]*)?`,
		numbers + `{4,}[\w.-]*`,
		`[vV]?[0-9.]*[0-9]{20,}[\w.-]*`, // Some are larger than 64 bits.
	}
}

// denyTags returns regular expressions for the tags of a deny rule, or for more tags.
func (e *exporter) denyTags(r *policy.Rule) []string {
	if !r.TagConditional() {
		return nil
	}
	if len(r.ExceptTags) > 0 {
		e.note(r, RefusesMore, "exceptTags of a deny rule are not exported: the export denies these "+
			"tags too")
	}
	var out []string
	for _, t := range r.Tags {
		for _, reading := range readings(t) {
			out = append(out, reading+foldedVariants(r))
		}
	}
	if r.Versions == "" {
		return out // With exceptTags alone, any tag.
	}
	condition, err := versions.Parse(r.Versions)
	if err != nil || len(condition.Spans(versions.Most)) == 0 || condition.NamesPrerelease() {
		e.note(r, RefusesMore, "versions %s can't be expressed: the rule denies every tag", r.Versions)
		return nil
	}
	out = append(out, unreadable()...)
	for _, s := range spans(condition, versions.Most) {
		for _, v := range s.touching() {
			out = append(out, "[vV]?"+v)
		}
		// A suffix may be a variant, or make a prerelease of the version after the range.
		for _, v := range s.after().touching() {
			out = append(out, "[vV]?"+v+`-[\w.-]*`)
		}
	}
	return out
}
