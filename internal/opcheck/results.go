package opcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// seen says who applies the answers of this file.
const seen = "only policy-guard sees this, and applies it"

// CheckExport returns the answer to where a result goes: local, tar, oci or docker for the client,
// push=NAME, or store=NAME for the builder's own image store. It fails for any other text.
func CheckExport(l policy.Layers, text string) (Answer, error) {
	kind, name, named := strings.Cut(text, "=")
	e := policy.Export{Type: kind}
	asked := "a result for the client of the type " + kind
	switch {
	case named && (kind == "push" || kind == "store"):
		ref, err := imageref.Parse(name)
		if err != nil {
			return Answer{}, err
		}
		e = policy.Export{Type: policy.ExportImage, Push: kind == "push"}
		e.Names = []imageref.Reference{ref}
		asked = "the image " + ref.String() + " in the builder's own image store"
		if e.Push {
			asked = "a push to " + ref.String()
		}
	case named || !slices.Contains([]string{"local", "tar", "oci", "docker"}, kind):
		return Answer{}, fmt.Errorf("%q isn't one of local, tar, oci, docker, push=NAME and store=NAME",
			text)
	}
	return ofRuling(asked, l.DecideExport(e)), nil
}

// CheckCache returns the answer to the use of a build cache: registry=NAME, or the type of another
// cache. It fails for a registry without a name.
func CheckCache(l policy.Layers, export bool, text string) (Answer, error) {
	kind, name, named := strings.Cut(text, "=")
	use := policy.CacheUse{Export: export, Type: kind}
	what := "of the type " + kind
	if named != (kind == policy.CacheRegistry) {
		return Answer{}, fmt.Errorf("%q isn't registry=NAME, local or another type of cache", text)
	}
	if named {
		var err error
		if use.Name, err = imageref.Parse(name); err != nil {
			return Answer{}, err
		}
		what = use.Name.String()
	}
	asked := "the import of the build cache " + what
	if export {
		asked = "the export of the build cache " + what
	}
	return ofRuling(asked, l.DecideCache(use)), nil
}

// CheckSBOM returns the answer to an SBOM by an image. It fails if the text is no reference.
func CheckSBOM(l policy.Layers, text string) (Answer, error) {
	image, err := imageref.Parse(text)
	if err != nil {
		return Answer{}, err
	}
	return ofRuling("an SBOM by "+image.String(), l.DecideGenerator(image)), nil
}

func ofRuling(asked string, r policy.Ruling) Answer {
	a := Answer{
		Verdict: r.Verdict, Asked: asked, Reason: r.Reason, Messages: append(r.Messages, seen),
	}
	if r.Verdict != policy.Allow {
		a.Rule, a.Layer, a.Allowed, a.Contact = r.Rule, r.Layer, r.Allowed, r.Contact
	}
	return a
}
