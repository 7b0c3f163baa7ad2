package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// ExportsRule is the rule of rulings on where results of builds go. No rule of a policy can have
// this name.
const ExportsRule = "exports"

// Exports say where the results of builds can go. Only policy-guard sees that, and without this
// field it lets results go to the client only.
type Exports struct {
	// Exporters that send a result to the client: local, tar, oci and docker. An empty list allows
	// none. The default is all of them.
	Client buildrules.List `yaml:"client,omitempty" jsonschema:"enum=local,enum=tar,enum=oci,enum=docker"`
	// Repositories to which a build can push its image. The default is none.
	Push *Repositories `yaml:"push,omitempty"`
	// Names that a build can give its image in the builder's own image store. If allow lists any, an
	// image can be there without a name. The default is none.
	Store *Repositories `yaml:"store,omitempty"`
	// Keys of annotations that a client can set on an image; a * stands for any characters, and true
	// for all. The default is none.
	Annotations buildrules.List `yaml:"annotations,omitempty" boolean:"*"`
}

// Repositories are names of repositories that are allowed, without those that are denied. They can
// be others for some clients.
type Repositories struct {
	RepositoryRule `yaml:",inline"`

	// Rules for clients, each with the fields clients, allow and deny. A name is allowed if a rule for
	// the client allows it and none that can be for the client denies it. The list can stand alone, in
	// place of the fields, which are one more such rule.
	Rules []*RepositoryRule `yaml:"rules,omitempty" jsonschema:"minItems=1" sequence:"true"`
}

// RepositoryRule are names of repositories that some clients can use.
type RepositoryRule struct {
	// Clients that the names are for, in the form of administration.clients: allow is for those that
	// surely are among them, and deny for all but those that surely aren't. The default is all
	// clients.
	Clients []string `yaml:"clients,omitempty" jsonschema:"minItems=1"`
	// Names that are allowed, in the form of an allow rule's match. An empty list allows none.
	Allow buildrules.List `yaml:"allow,omitempty"`
	// Names that are denied, in the form of a deny rule's match.
	Deny []string `yaml:"deny,omitempty" jsonschema:"minItems=1"`

	allow, deny []imageref.Pattern
	clients     clients.List
}

// For returns the compiled patterns of the clients. Callers don't change them.
func (r *RepositoryRule) For() clients.List { return r.clients }

// Patterns returns the patterns in canonical form, as [imageref.Pattern.String] does. One entry of
// deny can be several patterns.
func (r *RepositoryRule) Patterns() (allow, deny []string) {
	return patternTexts(r.allow), patternTexts(r.deny)
}

func patternTexts(patterns []imageref.Pattern) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.String()
	}
	return out
}

// All returns the rules: the fields beside the list, if there are any, and then those in it. It
// returns none for nil.
func (r *Repositories) All() []*RepositoryRule {
	if r == nil {
		return nil
	}
	all := r.Rules
	if r.Allow != nil || r.Deny != nil {
		all = append([]*RepositoryRule{&r.RepositoryRule}, all...)
	}
	return all
}

// PatternsFor returns the patterns of [RepositoryRule.Patterns] that hold for the client.
func (r *Repositories) PatternsFor(c clients.Client) (allow, deny []string) {
	a, d := r.holding(c)
	return patternTexts(a), patternTexts(d)
}

// holding returns what surely is allowed to the client, and what may be denied to it.
func (r *Repositories) holding(c clients.Client) (allow, deny []imageref.Pattern) {
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

// clientExporters are the exporters that send a result to the client that asked for it.
func clientExporters() []string { return []string{"local", "tar", "oci", "docker"} }

// ExportImage is the type of exporter that names an image, and can push it.
const ExportImage = "image"

// Export is what a build wants to do with its result.
type Export struct {
	// Type is the exporter: [ExportImage], or one that sends the result to the client.
	Type string
	// Push says that the image is pushed. Otherwise, the builder's own image store has it.
	Push bool
	// Names are those that the image gets. For an exporter to the client, they mean nothing. An image
	// that isn't pushed needs none.
	Names []imageref.Reference
	// Annotations are the keys that the client sets.
	Annotations []string
}

// attestationMarks begin the annotations by which BuildKit marks attestations.
const attestationMarks = "vnd.docker.reference."

// MarksAttestations reports whether an annotation is one by which BuildKit marks attestations. No
// policy can allow it. The key can also be a glob, which is then only for such annotations.
func MarksAttestations(key string) bool {
	return strings.HasPrefix(strings.ToLower(key), attestationMarks)
}

// DecideExport says whether a result can go where a build wants it. Both layers have to allow it.
// An overlay that has no exports restricts nothing. No mode weakens a denial. The verdict is Allow
// or Deny.
func (l Layers) DecideExport(e Export) Ruling {
	return l.rule(ExportsRule, func(p *Policy, overlay bool) *objection {
		x := inLayer(p.doc.Exports, overlay)
		if x == nil {
			return nil
		}
		return x.objection(e, l.client)
	})
}

// objection returns why the exports don't allow it, or nil.
func (x *Exports) objection(e Export, by clients.Client) *objection {
	for _, key := range e.Annotations {
		what := "the annotation " + safetext.Plain(key)
		switch {
		case MarksAttestations(key):
			return &objection{
				what: what + ", by which BuildKit marks attestations", field: "annotations",
				hint: "build without it",
			}
		case globs.First(x.Annotations, key) == "":
			return &objection{
				what: what + allowsOnly(x.Annotations), field: "annotations", allowed: x.Annotations,
				hint: "build without it, set a label in the build file, or have the key allowed",
			}
		}
	}
	if e.Type == ExportImage {
		return x.image(e, by)
	}
	client := x.ToClient()
	if slices.Contains(clientExporters(), e.Type) {
		if slices.Contains(client, e.Type) {
			return nil
		}
		return &objection{
			what: "a result for the client of the type " + e.Type + allowsOnly(client), field: "client",
			allowed: client,
		}
	}
	return &objection{
		what: fmt.Sprintf("a result of the type %s: there are only %s", safetext.Plain(e.Type),
			safetext.And(append(clientExporters(), ExportImage))),
	}
}

func (x *Exports) image(e Export, by clients.Client) *objection {
	if e.Push && len(e.Names) == 0 {
		return &objection{
			what: "pushing an image without a name", field: "push", hint: "name the image",
		}
	}
	list, field, what := x.Store, "store", "an image in the builder's own image store as "
	hint := "build with --load or -o type=docker, or have the name allowed in exports.store"
	if e.Push {
		list, field, what = x.Push, "push", "pushing to "
		hint = "build with -o type=oci,dest=FILE and push the file, or have the name allowed in " +
			"exports.push"
	}
	if allow, _ := list.holding(by); len(e.Names) == 0 && len(allow) == 0 {
		return &objection{
			what:  "an image in the builder's own image store" + list.whom(by, nil),
			field: field, hint: hint,
		}
	}
	for _, name := range e.Names {
		if o := list.objection(name, by, what, field); o != nil {
			o.hint = hint
			return o
		}
	}
	return nil
}

// AllowsSome reports whether any name is allowed to any client. A nil list allows none.
func (r *Repositories) AllowsSome() bool {
	return slices.ContainsFunc(r.All(), func(rule *RepositoryRule) bool { return len(rule.allow) > 0 })
}

// whom says that other clients can have what the client can't: those of a rule that allows the
// name, which is nil for any name. It returns "" if there are none.
func (r *Repositories) whom(c clients.Client, name *imageref.Pattern) string {
	for _, rule := range r.All() {
		if !rule.clients.Has(c) && slices.ContainsFunc(rule.allow, func(p imageref.Pattern) bool {
			return name == nil || p.Covers(*name)
		}) {
			return ", which is " + rule.clients.Only(c)
		}
	}
	return ""
}

// objection returns why the repositories don't allow the name to the client, or nil. A nil list
// allows none. what begins what is refused, and the name follows.
func (r *Repositories) objection(
	name imageref.Reference, by clients.Client, what, field string,
) *objection {
	what += name.String()
	if r == nil {
		return &objection{what: what, field: field}
	}
	pattern := name.Pattern()
	covers := func(p imageref.Pattern) bool { return p.Covers(pattern) }
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
	if whom := r.whom(by, &pattern); whom != "" {
		return &objection{what: what + whom, field: field + ".clients"}
	}
	meanings := imageref.Meanings(allow)
	return &objection{what: what + allowsOnly(meanings), field: field + ".allow", allowed: meanings}
}

func (v *validator) exports() {
	n, x := child(v.root, "exports"), v.policy.doc.Exports
	if n == nil || x == nil {
		return
	}
	v.report().Filled(n, "exports")
	report := v.report()
	report.Entries(child(n, "client"), "client", x.Client, func(s string) error {
		if slices.Contains(clientExporters(), s) {
			return nil
		}
		hint := ""
		if s == ExportImage || s == "registry" {
			hint = "; write push or store beside client, with the names of images"
		}
		return fmt.Errorf("%s isn't one of the exporters to the client, which are %s%s",
			safetext.Quote(s), safetext.And(clientExporters()), hint)
	})
	v.repositories(child(n, "push"), "push", x.Push)
	v.repositories(child(n, "store"), "store", x.Store)
	report.Entries(child(n, "annotations"), "annotations", x.Annotations, func(s string) error {
		if strings.Contains(s, "=") {
			return fmt.Errorf("%s isn't a key; write what is before the =", safetext.Quote(s))
		}
		if err := safetext.Check(s, imageref.MaxSize, false); err != nil {
			return fmt.Errorf("%s %w", safetext.Quote(s), err)
		}
		return nil
	})
}

// repositories checks and compiles the lists of names at the node.
func (v *validator) repositories(n *yaml.Node, key string, r *Repositories) {
	if n == nil || r == nil {
		return
	}
	list := child(n, "rules")
	if n.Kind == yaml.SequenceNode {
		list = n
	}
	if n.Kind == yaml.MappingNode {
		switch {
		case child(n, "allow") == nil && list == nil:
			v.addf(n, "%s has no allow, so nothing is allowed; write the names in allow, or ** for all "+
				"that deny doesn't list", key)
		case child(n, "clients") != nil && child(n, "allow") == nil && child(n, "deny") == nil:
			v.addf(child(n, "clients"), "clients has no allow and no deny beside it; write clients into "+
				"the rules that they are for")
		}
		v.repositoryRule(n, &r.RepositoryRule)
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
		v.repositoryRule(at, rule)
	}
}

func (v *validator) repositoryRule(n *yaml.Node, r *RepositoryRule) {
	r.clients = v.clients(child(n, "clients"), r.Clients)
	v.report().Entries(child(n, "allow"), "allow", r.Allow, func(s string) error {
		p, err := imageref.ParsePattern(s)
		r.allow = append(r.allow, p)
		return err
	})
	v.list(child(n, "deny"), "deny", r.Deny, func(s string) error {
		patterns, err := imageref.ParseDenyPattern(s)
		r.deny = append(r.deny, patterns...)
		return err
	})
}
