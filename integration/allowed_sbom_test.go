package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

// TestAnSBOMWithoutNetwork: docker/dockerfile's scanner is a command with the default network. The
// daemon's own is no command of the build.
func TestAnSBOMWithoutNetwork(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			build := func(images, options string) (file string, o harness.Output) {
				us := under(t, `version: 1
id: corp-ci
dispatch: `+string(by)+`
build:
  images: {allow: [`+images+`]}
  exec: {networks: [none]}
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
`+options)
				file = outFile(t)
				dir := withSyntax(t, "FROM busybox\nRUN --network=none echo ran > /out\n", nil)
				return file, us.buildx(t, dir, "--provenance=false", "--sbom=generator="+scanner,
					"--output", "type=oci,dest="+file)
			}
			both := "busybox, " + harness.SBOMScanner.Repository()
			const strip = "    options: {strip: [\"attest:sbom\"]}\n"
			const asks = "the build asks for an SBOM (--sbom or --attest type=sbom)"

			_, o := build("busybox", "")
			o.RequireFailure(t, asks, "this image makes it")
			_, o = build(both, "")
			o.RequireFailure(t, asks, "this command makes it", `options.strip: ["attest:sbom"]`)
			_, o = build("busybox", strip)
			o.RequireFailure(t, asks, "this image makes it")
			file, o := build(both, strip)
			o.RequireSuccess(t)
			images := registry.ReadOCI(t, file)
			require.Len(t, images, 2)
			require.True(t, images[1].Attestation)
		})
	}
}
