package policy

import (
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// SBOMRule is the rule of rulings on SBOM generators. No rule of a policy can have this name.
const SBOMRule = "sbom"

// SBOM says which images can make the SBOM of a result. Only policy-guard applies it, and without
// this field it lets a build have none.
type SBOM struct {
	// Repositories of images that can make an SBOM. They run with the network, and read the whole
	// result. Build rules for images apply to them too. The default is none.
	Generators *Repositories `yaml:"generators"`
}

// DecideGenerator says whether an image can make the SBOM of a build. Both layers have to allow it.
// An overlay that has no sbom restricts nothing. No mode weakens a denial. The verdict is Allow or
// Deny.
//
// The name alone is compared. Conditions on the tag or the digest are those of the build rules for
// images, by which the image is judged before it is read; see [Decision.Check].
func (l Layers) DecideGenerator(image imageref.Reference) Ruling {
	return l.rule(SBOMRule, func(p *Policy, overlay bool) *objection {
		s := inLayer(p.doc.SBOM, overlay)
		if s == nil {
			return nil
		}
		o := s.Generators.objection(image, l.client, "an SBOM by ", "generators")
		if o != nil {
			o.hint = "build without it (buildx: --sbom=false), or have the image allowed in " +
				"sbom.generators.allow"
		}
		return o
	})
}

func (v *validator) sbom() {
	n, s := child(v.root, "sbom"), v.policy.doc.SBOM
	if n == nil || s == nil {
		return
	}
	v.report().Filled(n, "sbom")
	v.repositories(child(n, "generators"), "generators", s.Generators)
}
