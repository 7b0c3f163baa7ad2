package export

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// regoTemplate is the Rego policy with placeholders in double braces. Their values are
// written as JSON, which is valid Rego, except for the identity in a comment.
//
//go:embed policy.rego.tmpl
var regoTemplate string

// regoRule is a rule as the Rego policy reads it. Empty fields are no conditions.
type regoRule struct {
	Name          string   `json:"name"`
	Message       string   `json:"message"`
	Names         string   `json:"names"`
	Tags          string   `json:"tags,omitempty"`
	Except        string   `json:"except,omitempty"`
	Digests       []string `json:"digests,omitempty"`
	RequireDigest bool     `json:"requireDigest,omitempty"`
	Pinned        bool     `json:"pinned,omitempty"`
}

// rego writes a Rego policy for buildx. The policy checks every image, because its input
// doesn't say which image is a frontend (buildx's policy/types.go). It sees a tag next to
// a digest, but not which of the two the build file has.
func (e *exporter) rego() ([]byte, error) {
	others, err := e.otherImages()
	if err != nil {
		return nil, err
	}
	allow, deny := e.rules()
	pins, twins := e.regoPins()
	replaced := e.replaced()
	byDefault := []string{}
	if e.doc.Default == policy.ActionAllow {
		byDefault = []string{`^`}
		if limits := e.doc.Limits.Patterns(); len(limits) > 0 {
			byDefault = whole(limits, false)
		}
	}
	fill := []string{"{{identity}}", strings.TrimSpace(e.doc.ID + " " + e.policy.Digest().String())}
	for _, f := range []struct {
		name  string
		value any
	}{
		{"allow", e.regoAllow(allow, pins)},
		{"deny", e.regoDeny(deny)},
		{"pins", pins},
		{"twins", twins},
		{"images", others},
		{"replaced", whole(replaced, true)},
		{"by default", byDefault},
		{"foreign", "^" + foreignSpelling},
		{"contact", prefixedBy("; ask ", e.doc.Contact)},
	} {
		text, err := jsonText(f.value)
		if err != nil {
			return nil, err
		}
		fill = append(fill, "{{"+f.name+"}}", text)
	}
	return []byte(strings.NewReplacer(fill...).Replace(regoTemplate)), nil
}

// otherImages compiles [Options].Images as patterns of a rule.
func (e *exporter) otherImages() ([]string, error) {
	if len(e.options.Images) == 0 {
		e.note(nil, RefusesMore, "every image that a build loads is checked as a frontend, including "+
			"base images; list the base images that a build may use")
		return []string{}, nil
	}
	patterns := make([]string, len(e.options.Images))
	for i, image := range e.options.Images {
		p, err := imageref.ParsePattern(image)
		if err != nil {
			return nil, fmt.Errorf("the additional images: %w", err)
		}
		patterns[i] = p.String()
	}
	e.note(nil, AllowsMore, "a frontend that matches %s is allowed like the other images there",
		strings.Join(patterns, ", "))
	return whole(patterns, false), nil
}

// replaced returns the names that aliases replace.
func (e *exporter) replaced() (replaced []string) {
	pins := false
	for i := range e.doc.Aliases {
		a := &e.doc.Aliases[i]
		from, _ := a.Names()
		switch {
		case e.shadowed(i):
		case !identity(a):
			e.refusesAlias(a, "the alias is not exported: builds must use the name that replaces %s", a.From)
			replaced = append(replaced, from)
		case len(a.Pins) > 0:
			pins = true
		}
	}
	if pins {
		e.note(nil, Different, "pins also apply to base images with these names")
	}
	return replaced
}

func (e *exporter) regoAllow(rules []rule, pins map[string]map[string]string) []regoRule {
	out := []regoRule{}
	for _, r := range rules {
		o := r.rego(false)
		if len(r.tags) > 0 && len(r.Digests) == 0 {
			const lost = "a tag next to a digest is taken on trust, unless an alias of the same name pins it"
			if e.options.Strict {
				e.note(r.Rule, RefusesMore, "only tags that an alias of the same name pins are allowed: %s",
					lost)
				o.Pinned = true
			} else {
				e.note(r.Rule, AllowsMore, lost)
			}
		}
		if len(r.Digests) > 0 {
			// The digest alone determines the image, so a pinned tag makes no difference.
			o.Digests = r.Digests
		}
		if !o.Pinned || pinsSome(pins, r.names) {
			out = append(out, o)
		}
	}
	return out
}

func pinsSome(pins map[string]map[string]string, patterns []string) bool {
	for name := range pins {
		if matches(patterns, name) {
			return true
		}
	}
	return false
}

func (e *exporter) regoDeny(rules []rule) []regoRule {
	out := []regoRule{}
	for _, r := range rules {
		o := r.rego(true)
		switch {
		case len(r.Digests) > 0:
			o.Digests, o.Tags = r.Digests, "" // Whatever the tag is, the digest counts.
		case len(r.tags) > 0 && e.options.Strict:
			e.note(r.Rule, RefusesMore, "the rule denies every tag, because a tag next to a digest can't "+
				"be looked up")
			o.Tags = ""
		case len(r.tags) > 0:
			e.note(r.Rule, AllowsMore, "a tag next to a digest is taken on trust")
		}
		out = append(out, o)
	}
	return out
}

func (r rule) rego(wide bool) regoRule {
	return regoRule{
		Name: r.Name, Message: prefixedBy(": ", strings.TrimSpace(r.Message)),
		RequireDigest: r.RequireDigest,
		Names:         "^" + anyOf(nameRegexes(r.names, wide)) + "$", Tags: wholeTag(r.tags),
		Except: wholeTag(r.except),
	}
}

func wholeTag(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	return "^" + anyOf(tags) + "$"
}

// whole writes patterns as regular expressions for whole names.
func whole(patterns []string, wide bool) []string {
	out := nameRegexes(patterns, wide)
	for i, p := range out {
		out[i] = "^" + p + "$"
	}
	return out
}

func prefixedBy(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// jsonText writes a value without HTML escapes, which are hard to read.
func jsonText(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	err := enc.Encode(v)
	return strings.TrimSpace(b.String()), err
}
