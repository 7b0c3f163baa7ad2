package policy

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Choices are entries that are allowed, without those that are denied: names of repositories, or
// words such as keys of annotations. They can be others for some clients.
type Choices struct {
	Choice `yaml:",inline"`

	// Rules for clients, each with the fields clients, allow and deny. An entry is allowed if a rule
	// for the client allows it and none that can be for the client denies it. The list can stand
	// alone, in place of the fields, which are one more such rule.
	Rules []*Choice `yaml:"rules,omitempty" jsonschema:"minItems=1" sequence:"true"`

	plain bool
}

// Choice has entries that some clients can use.
type Choice struct {
	// Clients that the entries are for, in the form of administration.clients: allow is for those that
	// surely are among them, and deny for all but those that surely aren't. The default is all
	// clients.
	Clients []string `yaml:"clients,omitempty" jsonschema:"minItems=1"`
	// What is allowed. Names are in the form of an allow rule's match. An empty list allows none.
	Allow buildrules.List `yaml:"allow,omitempty"`
	// What is denied, whatever allow lists. Names are in the form of a deny rule's match.
	Deny []string `yaml:"deny,omitempty" jsonschema:"minItems=1"`

	allow, deny []pattern
	clients     clients.List
}

// pattern is a compiled entry, or what a build asks for.
type pattern interface {
	// String is the canonical form, and Meaning the one for people.
	String() string
	Meaning() string
	covers(o pattern) bool
}

// repository is a pattern of repositories.
type repository struct{ imageref.Pattern }

func (r repository) covers(o pattern) bool {
	other, ok := o.(repository)
	return ok && r.Covers(other.Pattern)
}

// word is a glob. What is denied is denied in any letter case.
type word struct {
	text  string
	folds bool
}

func (w word) String() string  { return w.text }
func (w word) Meaning() string { return w.text }

func (w word) covers(o pattern) bool {
	if w.folds {
		return globs.Match(globs.FoldASCII(w.text), globs.FoldASCII(o.String()))
	}
	return globs.Match(w.text, o.String())
}

// For returns the compiled patterns of the clients. Callers don't change them.
func (r *Choice) For() clients.List { return r.clients }

// Patterns returns the entries in canonical form; see [imageref.Pattern.String]. One entry of deny
// can be several patterns.
func (r *Choice) Patterns() (allow, deny []string) {
	return patternTexts(r.allow), patternTexts(r.deny)
}

func patternTexts(patterns []pattern) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.String()
	}
	return out
}

// Plain reports whether the document has only the list of what is allowed, in place of the fields.
func (r *Choices) Plain() bool { return r.plain }

// All returns the rules: the fields beside the list, if there are any, and then those in it. It
// returns none for nil.
func (r *Choices) All() []*Choice {
	if r == nil {
		return nil
	}
	all := r.Rules
	if r.Allow != nil || r.Deny != nil {
		all = append([]*Choice{&r.Choice}, all...)
	}
	return all
}

// PatternsFor returns the patterns of [Choice.Patterns] that hold for the client.
func (r *Choices) PatternsFor(c clients.Client) (allow, deny []string) {
	a, d := r.holding(c)
	return patternTexts(a), patternTexts(d)
}

// holding returns what surely is allowed to the client, and what may be denied to it.
func (r *Choices) holding(c clients.Client) (allow, deny []pattern) {
	for _, rule := range r.All() {
		if rule.clients.Has(c) {
			allow = append(allow, rule.allow...)
		}
		if rule.clients.MayHave(c) {
			deny = append(deny, rule.deny...)
		}
	}
	return allow, deny
}

// AllowsSome reports whether any entry is allowed to any client. A nil list allows none.
func (r *Choices) AllowsSome() bool {
	return slices.ContainsFunc(r.All(), func(rule *Choice) bool { return len(rule.allow) > 0 })
}

// whom says that other clients can have what the client can't: those of a rule that allows what is
// asked for, which is nil for any entry. It returns "" if there are none.
func (r *Choices) whom(c clients.Client, asked pattern) string {
	for _, rule := range r.All() {
		if !rule.clients.Has(c) && slices.ContainsFunc(rule.allow, func(p pattern) bool {
			return asked == nil || p.covers(asked)
		}) {
			return ", which is " + rule.clients.Only(c)
		}
	}
	return ""
}

// objection returns why the rules don't allow to the client what it asks for, or nil. A nil list
// allows nothing. what describes what is refused.
func (r *Choices) objection(asked pattern, by clients.Client, what, field string) *objection {
	if r == nil {
		return &objection{what: what, field: field}
	}
	covers := func(p pattern) bool { return p.covers(asked) }
	for _, rule := range r.All() {
		i := slices.IndexFunc(rule.deny, covers)
		if i < 0 || !rule.clients.MayHave(by) {
			continue
		}
		o := &objection{what: what, field: field + ".deny: " + rule.deny[i].Meaning()}
		switch {
		case len(rule.clients) == 0:
		case !by.Known():
			o.what += fmt.Sprintf(" for %s, and it isn't known who builds", rule.clients)
		default:
			o.what += " for " + by.String()
		}
		return o
	}
	allow, _ := r.holding(by)
	if slices.ContainsFunc(allow, covers) {
		return nil
	}
	if whom := r.whom(by, asked); whom != "" {
		return &objection{what: what + whom, field: field + ".clients"}
	}
	if !r.plain {
		field += ".allow"
	}
	allowed := imageref.Meanings(allow)
	return &objection{what: what + allowsOnly(allowed), field: field, allowed: allowed}
}

// name returns why the repositories don't allow the name to the client, or nil. what begins what is
// refused, and the name follows.
func (r *Choices) name(
	name imageref.Reference, by clients.Client, what, field string,
) *objection {
	return r.objection(repository{name.Pattern()}, by, what+name.String(), field)
}

// parsing reads the entries of choices.
type parsing struct {
	allowed, denied func(string) ([]pattern, error)
	all             string // how to allow all that deny doesn't list
}

// repositories reads names.
var repositories = parsing{
	func(s string) ([]pattern, error) {
		p, err := imageref.ParsePattern(s)
		return []pattern{repository{p}}, err
	},
	func(s string) (out []pattern, _ error) {
		patterns, err := imageref.ParseDenyPattern(s)
		for _, p := range patterns {
			out = append(out, repository{p})
		}
		return out, err
	},
	"write the names in allow, or ** for all that deny doesn't list",
}

// words reads words that pass the check.
func words(all string, check func(string) error) parsing {
	read := func(folds bool) func(string) ([]pattern, error) {
		return func(s string) ([]pattern, error) { return []pattern{word{s, folds}}, check(s) }
	}
	return parsing{read(false), read(true), all}
}

// choices checks and compiles the lists at the node.
func (v *validator) choices(n *yaml.Node, key string, r *Choices, as parsing) {
	if n == nil || r == nil {
		return
	}
	list := child(n, "rules")
	switch {
	case n.Kind == yaml.MappingNode:
		switch {
		case child(n, "allow") == nil && list == nil:
			v.addf(n, "%s has no allow, so nothing is allowed; %s", key, as.all)
		case child(n, "clients") != nil && child(n, "allow") == nil && child(n, "deny") == nil:
			v.addf(child(n, "clients"), "clients has no allow and no deny beside it; write clients into "+
				"the rules that they are for")
		}
		v.choice(n, &r.Choice, as)
	case r.Allow != nil:
		r.plain = true
		if n.Kind != yaml.SequenceNode { // true or false, which stands for a list
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: slices.Repeat([]*yaml.Node{n}, len(r.Allow))}
		}
		v.report().Entries(n, key, r.Allow, compiled(&r.allow, as.allowed))
	default:
		list = n
	}
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	if len(list.Content) == 0 {
		v.addf(list, "%s has no rules; write allow: [] if nothing is allowed, or remove it", key)
	}
	for i, rule := range r.Rules {
		at := list.Content[i]
		if rule == nil {
			continue // A rule without a value is a problem already.
		}
		if child(at, "allow") == nil && child(at, "deny") == nil {
			v.addf(at, "the rule has neither allow nor deny; give it one of them")
		}
		v.choice(at, rule, as)
	}
}

func (v *validator) choice(n *yaml.Node, r *Choice, as parsing) {
	r.clients = v.clients(child(n, "clients"), r.Clients)
	v.report().Entries(child(n, "allow"), "allow", r.Allow, compiled(&r.allow, as.allowed))
	v.list(child(n, "deny"), "deny", r.Deny, compiled(&r.deny, as.denied))
}

// compiled returns a check of entries that keeps what they are read as.
func compiled(out *[]pattern, read func(string) ([]pattern, error)) func(string) error {
	return func(s string) error {
		patterns, err := read(s)
		*out = append(*out, patterns...)
		return err
	}
}
