package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
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
	Client *Choices `yaml:"client,omitempty" short:"allow" entries:"local,tar,oci,docker"`
	// Repositories to which a build can push its image. The default is none.
	Push *Choices `yaml:"push,omitempty"`
	// Names that a build can give its image in the builder's own image store. If allow lists any, an
	// image can be there without a name. The default is none.
	Store *Choices `yaml:"store,omitempty"`
	// Keys of annotations that a client can set on an image; a * stands for any characters, and true
	// for all. The default is none.
	Annotations *Choices `yaml:"annotations,omitempty" short:"allow" boolean:"*"`
}

// ClientExporters returns the exporters that send a result to the client that asked for it.
func ClientExporters() []string { return []string{"local", "tar", "oci", "docker"} }

// ToClient returns the exporters to the client that are allowed.
func (x *Exports) ToClient() *Choices {
	if x.Client != nil {
		return x.Client
	}
	all := &Choices{plain: true, Choice: Choice{Allow: ClientExporters()}}
	for _, kind := range all.Allow {
		all.allow = append(all.allow, word{text: kind})
	}
	return all
}

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
		if MarksAttestations(key) {
			return &objection{
				what: what + ", by which BuildKit marks attestations", field: "annotations",
				hint: "build without it",
			}
		}
		if o := x.Annotations.objection(word{text: key}, by, what, "annotations"); o != nil {
			o.hint = "build without it, set a label in the build file, or have the key allowed"
			return o
		}
	}
	if e.Type == ExportImage {
		return x.image(e, by)
	}
	if slices.Contains(ClientExporters(), e.Type) {
		return x.ToClient().objection(word{text: e.Type}, by,
			"a result for the client of the type "+e.Type, "client")
	}
	return &objection{
		what: fmt.Sprintf("a result of the type %s: there are only %s", safetext.Plain(e.Type),
			safetext.And(append(ClientExporters(), ExportImage))),
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
		if o := list.name(name, by, what, field); o != nil {
			o.hint = hint
			return o
		}
	}
	return nil
}

func (v *validator) exports() {
	n, x := child(v.root, "exports"), v.policy.doc.Exports
	if n == nil || x == nil {
		return
	}
	v.report().Filled(n, "exports")
	v.choices(child(n, "client"), "client", x.Client, words(
		"write the exporters in allow", func(s string) error {
			if slices.Contains(ClientExporters(), s) {
				return nil
			}
			hint := ""
			if s == ExportImage || s == "registry" {
				hint = "; write push or store beside client, with the names of images"
			}
			return fmt.Errorf("%s isn't one of the exporters to the client, which are %s%s",
				safetext.Quote(s), safetext.And(ClientExporters()), hint)
		}))
	v.choices(child(n, "push"), "push", x.Push, repositories)
	v.choices(child(n, "store"), "store", x.Store, repositories)
	v.choices(child(n, "annotations"), "annotations", x.Annotations, words(
		"write the keys in allow, or * for all that deny doesn't list", func(s string) error {
			if strings.Contains(s, "=") {
				return fmt.Errorf("%s isn't a key; write what is before the =", safetext.Quote(s))
			}
			if err := safetext.Check(s, imageref.MaxSize, false); err != nil {
				return fmt.Errorf("%s %w", safetext.Quote(s), err)
			}
			return nil
		}))
}
