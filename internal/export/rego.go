package export

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// regoTemplate is the policy with names in double braces where values go, all but the
// identity as JSON, which is Rego too.
//
//go:embed policy.rego.tmpl
var regoTemplate string

// regoRule is a rule as the Rego policy reads it; what is empty is no condition.
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

// rego writes a Rego policy for buildx. It judges every image, since its input says
// of none that it is a frontend (buildx's policy/types.go), and it sees a tag beside
// a digest without knowing which of them was written.
func (e *exporter) rego() ([]byte, error) {
	others, err := e.otherImages()
	if err != nil {
		return nil, err
	}
	allow, deny := e.rules()
	pins, replaced := e.pins()
	byDefault := []string{}
	if e.policy.Default == policy.ActionAllow {
		byDefault = []string{`^`}
		if limits := e.policy.Limits.Patterns(); len(limits) > 0 {
			byDefault = whole(limits, false)
		}
	}
	fill := []string{"{{identity}}", strings.TrimSpace(e.policy.ID + " " + e.policy.Digest().String())}
	for _, f := range []struct {
		name  string
		value any
	}{
		{"allow", e.regoAllow(allow, pins)},
		{"deny", e.regoDeny(deny)},
		{"pins", pins},
		{"images", others},
		{"replaced", whole(replaced, true)},
		{"by default", byDefault},
		{"foreign", "^" + foreignSpelling},
		{"contact", prefixedBy("; ask ", e.policy.Contact)},
	} {
		text, err := jsonText(f.value)
		if err != nil {
			return nil, err
		}
		fill = append(fill, "{{"+f.name+"}}", text)
	}
	return []byte(strings.NewReplacer(fill...).Replace(regoTemplate)), nil
}

// otherImages compiles Options.Images as the patterns that they are.
func (e *exporter) otherImages() ([]string, error) {
	if len(e.options.Images) == 0 {
		e.note(nil, RefusesMore, "every image that a build loads is judged as a frontend, base images too; name those that it may use besides")
		return []string{}, nil
	}
	doc, err := json.Marshal(map[string]any{"version": policy.Version, "frontends": []any{map[string]any{"match": e.options.Images}}})
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse("images", doc)
	if err != nil {
		return nil, fmt.Errorf("the images besides frontends: %w", err)
	}
	patterns := p.Frontends[0].Patterns()
	e.note(nil, AllowsMore, "a frontend among the images %s is let through as they are", strings.Join(patterns, ", "))
	return whole(patterns, false), nil
}

// pins returns the tags that keep their name, and the names that get another one.
func (e *exporter) pins() (pins map[string]map[string]string, replaced []string) {
	pins = map[string]map[string]string{}
	for i := range e.policy.Aliases {
		a := &e.policy.Aliases[i]
		from, _ := a.Names()
		switch {
		case e.shadowed(i):
		case !identity(a):
			e.refusesAlias(a, "the alias is not exported: builds must write the name that %s stands for", a.From)
			replaced = append(replaced, from)
		case len(a.Pins) > 0:
			pins[from] = a.Pins
		}
	}
	if len(pins) > 0 {
		e.note(nil, Different, "pins act on base images of those names too")
	}
	return pins, replaced
}

func (e *exporter) regoAllow(rules []rule, pins map[string]map[string]string) []regoRule {
	out := []regoRule{}
	for _, r := range rules {
		o := r.rego(false)
		if len(r.tags) > 0 && len(r.Digests) == 0 {
			const lost = "a tag that is written beside a digest is believed, unless an alias of the same name pins it"
			if e.options.Strict {
				e.note(r.Rule, RefusesMore, "only tags that an alias of the same name pins are allowed: otherwise %s", lost)
				o.Pinned = true
			} else {
				e.note(r.Rule, AllowsMore, lost)
			}
		}
		if len(r.Digests) > 0 {
			// The digest says what may run; a tag that is pinned elsewhere changes nothing.
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
			o.Digests, o.Tags = r.Digests, "" // Whatever tag is written beside it.
		case len(r.tags) > 0 && e.options.Strict:
			e.note(r.Rule, RefusesMore, "the rule denies every tag, because one that is written beside a digest can't be looked up")
			o.Tags = ""
		case len(r.tags) > 0:
			e.note(r.Rule, AllowsMore, "a tag that is written beside a digest is believed")
		}
		out = append(out, o)
	}
	return out
}

func (r rule) rego(wide bool) regoRule {
	return regoRule{
		Name: r.Name, Message: prefixedBy(": ", strings.TrimSpace(r.Message)), RequireDigest: r.RequireDigest,
		Names: "^" + anyOf(nameRegexes(r.names, wide)) + "$", Tags: wholeTag(r.tags), Except: wholeTag(r.except),
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

// jsonText writes a value without HTML's escapes, which a person reads badly.
func jsonText(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	err := enc.Encode(v)
	return strings.TrimSpace(b.String()), err
}
