package guard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/moby/buildkit/frontend/attestations"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// The options that ask for attestations.
const (
	optionSBOM       = "attest:" + attestations.KeyTypeSbom
	optionProvenance = "attest:" + attestations.KeyTypeProvenance
)

// provenance are the parameters of a provenance attestation that a client may set. Others would
// state what the client alone claims: who built, and that the build is reproducible.
var provenance = []string{"type", "mode", "version", "inline-only", "disabled"}

// attested judges the options that ask for attestations. It returns the option for the SBOM in the
// form that was judged, "" if no SBOM is asked for.
//
// One key alone may ask for one: of several spellings, the daemon takes a random one
// (frontend/attestations/parse.go).
func attested(l policy.Layers, all map[string]string) (sbom string, err error) {
	for key := range all {
		if kind, ok := optionkeys.Attestation(key); ok && key != "attest:"+kind {
			return "", fmt.Errorf("it has the option %s; write attest:%s", safetext.Plain(key),
				safetext.Plain(kind))
		}
	}
	asked, err := attestations.Parse(attestations.Filter(all))
	if err != nil {
		return "", err
	}
	for p := range asked[attestations.KeyTypeProvenance] {
		if !slices.Contains(provenance, p) {
			return "", fmt.Errorf("its provenance would have the parameter %s from the client",
				safetext.Plain(p))
		}
	}
	if params, ok := asked[attestations.KeyTypeSbom]; ok {
		return generator(l, params)
	}
	return "", nil
}

// generator judges what makes an SBOM, and returns the option for it. The daemon turns each
// parameter but the image into a variable of the scanner's command, such as the one that says where
// it reads (frontend/attestations/sbom/sbom.go). So the option has only the image. The parameters
// type and disabled, with which buildx writes --sbom=true, mean nothing more.
func generator(l policy.Layers, params map[string]string) (string, error) {
	const image = "generator"
	neutral := map[string]string{"type": attestations.KeyTypeSbom, "disabled": "false"}
	for p, value := range params {
		if p == image || neutral[p] == value && value != "" {
			continue
		}
		return "", fmt.Errorf("its SBOM would have the parameter %s=%s, which changes what the generator "+
			"does; name only the generator", safetext.Plain(p), safetext.Plain(value))
	}
	ref, err := imageref.Parse(params[image])
	if err != nil {
		return "", fmt.Errorf("the generator of its SBOM can't be judged: %w", err)
	}
	return image + "=" + ref.String(), denied(l, l.DecideGenerator(ref))
}

// judgeSBOM judges the attestations that a request asks for. Rules on the options of a frontend
// have to see that the build has an SBOM, whoever makes it, so the options say so too. A build has
// one generator: the daemon makes the SBOM if the frontend doesn't.
func (b *build) judgeSBOM(req *gwpb.SolveRequest) error {
	var l policy.Layers
	if _, asked := req.FrontendOpt[optionSBOM]; asked {
		var err error
		if l, err = b.policy.layers(b.by, req.FrontendOpt); err != nil {
			return err
		}
	}
	sbom, err := attested(l, req.FrontendOpt)
	switch {
	case err != nil:
		return err
	case sbom == "" && b.sbom == "" || req.Definition != nil:
		return nil
	case sbom != "" && b.sbom != "" && sbom != b.sbom:
		return errors.New("it asks for an SBOM by another generator than the request that began the " +
			"build")
	case sbom == "":
		sbom = b.sbom
	}
	if req.FrontendOpt == nil {
		req.FrontendOpt = map[string]string{}
	}
	req.FrontendOpt[optionSBOM] = sbom
	return nil
}
