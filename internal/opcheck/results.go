package opcheck

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// seen says who applies the answers of this file.
const seen = "only policy-guard sees this, and applies it"

// Wish is something that a client wants of the daemon besides a frontend and its operations, such
// as an export. A field of the whole policy answers it.
type Wish struct {
	asked   string
	exports bool
	decide  func(policy.Layers) policy.Ruling
}

// WishExport is the wish to export a result.
func WishExport(e policy.Export) Wish {
	asked := "a result for the client of the type " + safetext.Plain(e.Type)
	if e.Type == policy.ExportImage {
		names := make([]string, len(e.Names))
		for i, n := range e.Names {
			names[i] = n.String()
		}
		asked = "the image " + safetext.And(names) + " in the builder's own image store"
		if e.Push {
			asked = "a push to " + safetext.And(names)
		}
	}
	if len(e.Annotations) > 0 {
		keys := make([]string, len(e.Annotations))
		for i, k := range e.Annotations {
			keys[i] = safetext.Plain(k)
		}
		what := " with the annotation "
		if len(keys) > 1 {
			what = " with the annotations "
		}
		asked += what + safetext.And(keys)
	}
	return Wish{asked, true, func(l policy.Layers) policy.Ruling { return l.DecideExport(e) }}
}

// WishCache is the wish to use a build cache.
func WishCache(u policy.CacheUse) Wish {
	what := "of the type " + safetext.Plain(u.Type)
	if u.Type == policy.CacheRegistry {
		what = u.Name.String()
	}
	asked := "the import of the build cache " + what
	if u.Export {
		asked = "the export of the build cache " + what
	}
	return Wish{asked, false, func(l policy.Layers) policy.Ruling { return l.DecideCache(u) }}
}

// WishSBOM is the wish for an SBOM by an image.
func WishSBOM(image imageref.Reference) Wish {
	return Wish{"an SBOM by " + image.String(), false, func(l policy.Layers) policy.Ruling {
		return l.DecideGenerator(image)
	}}
}

// WishDebug is the wish of the client to run a container of its own.
func WishDebug() Wish {
	return Wish{"a container that the client runs by itself", false, policy.Layers.DecideDebug}
}

// WishAdministration is the wish of the client to do what only administrators can do. It is about
// no build.
func WishAdministration(a policy.Administering) Wish {
	asked := "seeing the disk usage of the builder"
	if a == policy.Pruning {
		asked = "pruning the builder"
	}
	return Wish{asked, false, func(l policy.Layers) policy.Ruling {
		return l.DecideAdministration(a, l.Client())
	}}
}

// Asked describes the wish, as the beginning of a sentence.
func (w Wish) Asked() string { return w.asked }

// Check returns the answer to a wish of the build that the decision is about.
func (w Wish) Check(l policy.Layers, d policy.Decision) Answer {
	r := w.decide(l)
	if w.exports && r.Verdict == policy.Allow && d.Verdict.Permits() && !d.Exportable() {
		r = policy.Ruling{
			Verdict: policy.Deny, Rule: policy.BuildRule, Layer: policy.LayerPolicy, Contact: l.Contact(),
			Reason: "the result has no configuration for the rules on one to check, because no frontend " +
				"made it (build.config)",
		}
	}
	a := Answer{
		Verdict: r.Verdict, Asked: w.asked, Reason: r.Reason,
		Messages: append(slices.Clip(r.Messages), seen),
	}
	if r.Verdict != policy.Allow {
		a.Rule, a.Layer, a.Allowed, a.Contact = r.Rule, r.Layer, r.Allowed, r.Contact
	}
	return a
}

// administering has what only administrators can do, as it is written.
var administering = map[string]policy.Administering{
	"disk-usage": policy.DiskUsage, "pruning": policy.Pruning,
}

// Administering returns what [ParseAdministering] reads.
func Administering() []string { return slices.Sorted(maps.Keys(administering)) }

// ParseAdministering reads what only administrators can do: disk-usage or pruning. It fails for any
// other text.
func ParseAdministering(text string) (policy.Administering, error) {
	a, ok := administering[text]
	if !ok {
		return "", fmt.Errorf("%q isn't %s", text, safetext.Or(Administering()))
	}
	return a, nil
}

// ParseExport reads where a result goes: local, tar, oci or docker for the client, push=NAME, or
// store=NAME for the builder's own image store. It fails for any other text.
func ParseExport(text string) (policy.Export, error) {
	kind, name, named := strings.Cut(text, "=")
	switch {
	case named && (kind == "push" || kind == "store"):
		ref, err := imageref.Parse(name)
		return policy.Export{
			Type: policy.ExportImage, Push: kind == "push", Names: []imageref.Reference{ref},
		}, err
	case named || !slices.Contains(policy.ClientExporters(), kind):
		return policy.Export{}, fmt.Errorf("%q isn't one of %s", text,
			safetext.And(append(policy.ClientExporters(), "push=NAME", "store=NAME")))
	}
	return policy.Export{Type: kind}, nil
}

// ParseCache reads a build cache: registry=NAME, or the type of another cache. It fails for a
// registry without a name.
func ParseCache(text string) (policy.CacheUse, error) {
	kind, name, named := strings.Cut(text, "=")
	if named != (kind == policy.CacheRegistry) {
		return policy.CacheUse{}, fmt.Errorf("%q isn't registry=NAME, local or another type of cache",
			text)
	}
	use := policy.CacheUse{Type: kind}
	var err error
	if named {
		use.Name, err = imageref.Parse(name)
	}
	return use, err
}
