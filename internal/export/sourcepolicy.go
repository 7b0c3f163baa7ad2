package export

import (
	"encoding/json"
	"regexp"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// The JSON form of BuildKit's source policies (sourcepolicy/pb).
type (
	sourceRules struct {
		Version int          `json:"version"`
		Rules   []sourceRule `json:"rules"`
	}
	sourceRule struct {
		Action   string        `json:"action"`
		Selector selector      `json:"selector"`
		Updates  *sourceUpdate `json:"updates,omitempty"`
	}
	selector struct {
		Identifier  string       `json:"identifier"`
		MatchType   string       `json:"match_type"`
		Constraints []constraint `json:"constraints,omitempty"`
	}
	constraint struct {
		Key       string `json:"key"`
		Value     string `json:"value"`
		Condition string `json:"condition"`
	}
	sourceUpdate struct {
		Identifier string `json:"identifier"`
	}
)

// A build resolves a frontend's reference twice. The first time it reads the metadata of
// the reference as written, and the source looks like that of a base image. The second
// time it reads the image by the digest found, marked as a frontend
// (frontend/gateway/gateway.go, markTypeFrontend).
//
// Verdicts apply to the marked source, so base images still work. The written reference is
// visible only in the unmarked source, so rules on it apply to all images of a repository.
const (
	marked   = "EQUAL"
	unmarked = "NOTEQUAL"

	imageScheme = "docker-image://"
	anyTag      = `(?::[\w.-]+)?`
	anyDigest   = `(?:@[\w:+.-]+)?`
	someDigest  = `@[\w:+.-]+`
)

// sourcePolicy writes a source policy. The last matching ALLOW or DENY decides. After a
// CONVERT, evaluation starts again with the result (sourcepolicy/engine.go).
func (e *exporter) sourcePolicy() ([]byte, error) {
	e.note(nil, Different, "messages and contacts are not exported")
	e.note(nil, Different, "a source policy can't stop a client that overrides a frontend's image "+
		"with a named context")
	allow, deny := e.rules()
	allow, deny = e.expressible(allow, deny)
	out, refused := e.converts()
	exact, usual := e.pinsOf()
	out = append(out, pinConversions(exact)...)
	limits := e.doc.Limits.Patterns()
	if e.doc.Default == policy.ActionAllow {
		if len(limits) > 0 {
			out = append(out, frontends("DENY", nil, anyTag+anyDigest),
				frontends("ALLOW", limits, anyTag+anyDigest))
		}
	} else {
		out = append(out, frontends("DENY", nil, anyTag+anyDigest))
		out = append(out, e.allows(allow)...)
	}
	out = append(out, e.written(allow, deny)...)
	out = append(out, e.pinned(exact, usual)...)
	for _, r := range deny {
		out = append(out, denials(r)...)
	}
	if len(refused) > 0 {
		out = append(out, frontends("DENY", refused, anyTag+anyDigest))
	}
	out = append(out, regex("DENY", "^"+imageScheme+foreignSpelling, marked))
	data, err := json.MarshalIndent(sourceRules{1, out}, "", "  ")
	return append(data, '\n'), err
}

// frontends returns a rule on marked images whose names match the patterns, or on all
// marked images if there are no patterns.
func frontends(action string, patterns []string, rest string) sourceRule {
	return images(action, patterns, rest, marked)
}

func images(action string, patterns []string, rest, mark string) sourceRule {
	name := `[^@]*`
	if len(patterns) > 0 {
		name = anyOf(nameRegexes(patterns, action == "DENY"))
	}
	return regex(action, "^"+imageScheme+name+rest+"$", mark)
}

func regex(action, identifier, mark string) sourceRule {
	return sourceRule{Action: action, Selector: selector{
		Identifier: identifier, MatchType: "REGEX",
		Constraints: []constraint{{Key: "image.recordtype", Value: "frontend", Condition: mark}},
	}}
}

// allows writes the allow rules. Those with exceptTags come first, so their denials can't
// refuse images that other rules allow.
func (e *exporter) allows(rules []rule) []sourceRule {
	slices.SortStableFunc(rules, func(a, b rule) int {
		return min(len(b.except), 1) - min(len(a.except), 1)
	})
	var out []sourceRule
	for _, r := range rules {
		tag := anyTag
		if len(r.tags) > 0 {
			tag = ":" + anyOf(r.tags)
		}
		digest := anyDigest
		if len(r.Digests) > 0 {
			digest = "@" + anyOf(quoted(r.Digests))
		}
		out = append(out, frontends("ALLOW", r.names, tag+digest))
		if len(r.except) > 0 {
			out = append(out, frontends("DENY", r.names, ":"+anyOf(r.except)+anyDigest))
		}
	}
	return out
}

// denials writes a deny rule. A reference without a tag could mean any tag.
func denials(r rule) []sourceRule {
	digest := anyDigest
	if len(r.Digests) > 0 {
		// Whatever the tag is, the digest counts: a tag can stand next to any digest.
		return []sourceRule{frontends("DENY", r.names, anyTag+"@"+anyOf(quoted(r.Digests)))}
	}
	if len(r.tags) == 0 {
		return []sourceRule{frontends("DENY", r.names, anyTag+digest)}
	}
	return []sourceRule{
		frontends("DENY", r.names, ":"+anyOf(r.tags)+digest),
		frontends("DENY", r.names, someDigest),
	}
}

// written returns the rules on references as written in the build file. A tag next to a digest is
// a claim. What an allow rule says of both counts without the claim, but no allow rule answers
// whether a deny rule's tag points to the digest, so the deny rules' claims are refused last.
func (e *exporter) written(allow, deny []rule) []sourceRule {
	var out []sourceRule
	refuse := func(names []string, rest string) {
		if len(names) > 0 {
			out = append(out, images("DENY", names, rest, unmarked))
		}
	}
	const tagAndDigest = `:[\w.-]+` + someDigest
	if claimed := claimedNames(allow); len(claimed) > 0 {
		refuse(claimed, tagAndDigest)
		for _, r := range allow {
			if len(r.tags) > 0 && len(r.Digests) > 0 {
				out = append(out, images("ALLOW", r.names, ":"+anyOf(r.tags)+"@"+anyOf(quoted(r.Digests)),
					unmarked))
			}
		}
	}
	refuse(claimedNames(deny), tagAndDigest)
	var bare []string // names that need a digest
	for _, r := range slices.Concat(allow, deny) {
		if r.RequireDigest && !r.open() {
			bare = append(bare, r.names...)
		}
	}
	refuse(bare, anyTag)
	return out
}

// claimedNames returns the names in whose rules a tag counts, whatever the digest is.
func claimedNames(rules []rule) []string {
	var out []string
	for _, r := range rules {
		if len(r.tags) > 0 && len(r.Digests) == 0 && !r.open() {
			out = append(out, r.names...)
		}
	}
	return out
}

func quoted(items []string) []string {
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = regexp.QuoteMeta(s)
	}
	return out
}

// open reports whether one of the rule's names is a pattern.
func (r rule) open() bool {
	return slices.ContainsFunc(r.names, func(n string) bool { return globs.ParseImage(n).Open() })
}

// expressible returns the rules that a source policy can express. A condition on the written
// reference is lost where base images may match the rule's pattern.
func (e *exporter) expressible(allow, deny []rule) (kept, denied []rule) {
	for i, r := range allow {
		if len(r.except) > 0 && slices.ContainsFunc(allow[:i],
			func(o rule) bool { return len(o.except) > 0 && overlap(o.names, r.names) }) {
			e.note(r.Rule, RefusesMore, "another rule for the same names also has exceptTags; a tag that "+
				"one of them excepts may be refused")
		}
		if r.open() && r.RequireDigest && !e.lose(r.Rule, "requireDigest is not exported, because base "+
			"images may match the pattern too") {
			continue
		}
		if r.open() && len(r.tags) > 0 && len(r.Digests) == 0 && !e.lose(r.Rule, claimedTag) {
			continue
		}
		if !r.open() && r.RequireDigest && len(r.tags) > 0 && len(r.Digests) == 0 {
			e.note(r.Rule, RefusesMore, "only tags that an alias pins are allowed: the rule requires a "+
				"tag and a digest, and the tag can't be looked up")
		}
		kept = append(kept, r)
	}
	for _, r := range deny {
		if r.open() && len(r.tags) > 0 && len(r.Digests) == 0 {
			if e.options.Strict {
				e.note(r.Rule, RefusesMore, "the rule denies every tag: %s", claimedTag)
				r.tags = nil
			} else {
				e.note(r.Rule, AllowsMore, claimedTag)
			}
		}
		denied = append(denied, r)
	}
	if slices.ContainsFunc(slices.Concat(kept, denied),
		func(r rule) bool { return !r.open() && len(r.tags) > 0 && len(r.Digests) == 0 }) {
		e.note(nil, RefusesMore, "repositories whose frontend rules depend on tags can't be base "+
			"images, and in them a tag can't stand next to a digest unless an alias pins it")
	}
	return kept, denied
}

const claimedTag = "a tag next to a digest is taken on trust, because base images may match the " +
	"pattern too"

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b,
			func(y string) bool { return globs.ParseImage(x).Overlaps(globs.ParseImage(y)) })
	})
}
