package frontend

import (
	"fmt"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/attestations"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// generatorOf returns the image that makes the SBOM that the options ask for, "" if they ask for
// none. The error completes "it asks for …".
func generatorOf(opts map[string]string) (string, error) {
	attests, err := attestations.Parse(opts)
	if err != nil {
		return "", fmt.Errorf("attestations in a form that can't be read: %w", err)
	}
	sbom, asked := attests[attestations.KeyTypeSbom]
	if !asked {
		return "", nil
	}
	named, err := reference.ParseNormalizedNamed(sbom["generator"])
	if err != nil {
		return "", fmt.Errorf(
			"an SBOM by %s, which isn't an image reference", safetext.Plain(sbom["generator"]))
	}
	return reference.TagNameOnly(named).String(), nil
}

// explainSBOM says what asked for an operation that is refused, if that was the SBOM: no line of
// the build file names the image and the command that make it.
func (m *monitor) explainSBOM(f operation, ruling policy.Ruling) policy.Ruling {
	if f.Image == "" && !f.scan {
		return ruling
	}
	generator, err := generatorOf(m.build.opts.Inner(m.inner.decision.Obligations))
	if generator == "" && err == nil && !f.scan { // the daemon makes one nevertheless
		generator, err = generatorOf(m.build.opts.Visible())
	}
	if err != nil || generator == "" {
		return ruling
	}
	const asks = "the build asks for an SBOM (--sbom or --attest type=sbom), and "
	hint := asks + "this command makes it: build without an SBOM, or have options.strip: " +
		`["attest:sbom"] added to the rule, so that BuildKit makes it after the build`
	if f.Image != "" {
		image, err := imageref.Parse(f.Image)
		by, wrong := imageref.Parse(generator)
		if err != nil || wrong != nil || !image.SameRepository(by) {
			return ruling
		}
		hint = asks + "this image makes it: build without an SBOM, or have the image allowed"
	}
	ruling.Messages = append(ruling.Messages[:len(ruling.Messages):len(ruling.Messages)], hint)
	return ruling
}
