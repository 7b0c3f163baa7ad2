package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// attestPolicy is a policy for one dispatcher. head has further fields.
func attestPolicy(by policy.Dispatch, head string) string {
	return "version: 1\nid: corp-ci\ndispatch: " + string(by) + "\n" + head +
		"frontends: [{name: dockerfile, match: [docker/dockerfile]}]\n"
}

// attestedSummary returns the summary among the statements of an image; nil if there is none.
func attestedSummary(t *testing.T, images []registry.OCIImage) *vsa.Summary {
	t.Helper()
	var found *vsa.Summary
	for _, image := range images {
		if !image.Attestation {
			continue
		}
		for _, st := range image.Statements(t) {
			if st.PredicateType == vsa.PredicateType {
				require.Nil(t, found, "there is one")
				found = &vsa.Summary{}
				require.NoError(t, json.Unmarshal(st.Predicate, found))
			}
		}
	}
	return found
}

// With attest: true, the index of an image has a summary of the decision. Without it, each image
// stays as it is.
func TestAnImageCarriesASummary(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			on := under(t, attestPolicy(by, "attest: true\n"))
			off := under(t, attestPolicy(by, ""))
			hello := map[string]string{"hello": "hello\n"}
			dir := withSyntax(t, "FROM busybox\nRUN echo a >/a\nCOPY hello /\n", hello)
			copies := withSyntax(t, "FROM scratch\nCOPY hello /\n", hello)
			build := func(s side, dir, name string, more ...string) []registry.OCIImage {
				ref := env.Registry.Ref("attest/" + string(by) + "-" + name + ":1")
				s.Buildctl(t, byBuildctl(dir, s.syntax, append([]string{
					"--opt", "build-arg:SOURCE_DATE_EPOCH=0",
					"--output", "type=image,rewrite-timestamp=true,push=true,name=" + ref,
				}, more...)...)...).RequireSuccess(t)
				return env.Registry.ReadImage(t, ref)
			}
			without := build(off, dir, "off")
			require.Len(t, without, 1, "a single manifest")
			require.Nil(t, attestedSummary(t, without))

			with := build(on, dir, "on")
			require.Len(t, with, 2)
			require.Equal(t, without[0].Digest, with[0].Digest, "the image itself is the same")
			s := attestedSummary(t, with)
			require.NotNil(t, s)
			require.Equal(t, "https://github.com/policy-frontend/policy-frontend/policy-frontend", s.Verifier.ID)
			require.Equal(t, string(by), s.Details.Dispatch)
			var d vsa.Decision
			require.NoError(t, json.Unmarshal(s.Details.Decision, &d))
			require.Equal(t, "dockerfile", d.Rule)
			require.Equal(t, "corp-ci", d.Policy.ID)
			require.Equal(t, d.Policy.Digest, s.Policy.Digest.String())
			var uris []string
			for _, source := range s.Details.Sources {
				uris = append(uris, source.URI)
			}
			text := strings.Join(uris, " ")
			require.Contains(t, text, "docker-image://docker.io/library/busybox")
			require.Contains(t, text, "local://context")

			beside := build(on, dir, "beside", "--opt", "attest:sbom=generator="+scanner,
				"--opt", "attest:provenance=mode=max")
			require.NotNil(t, attestedSummary(t, beside))
			require.Len(t, beside[1].Statements(t), 3)

			two := build(on, copies, "two", "--opt", "platform=linux/amd64,linux/arm64")
			require.Len(t, two, 4)
			for _, image := range two[2:] {
				require.NotNil(t, attestedSummary(t, []registry.OCIImage{image}))
			}

			// Exports of files and archives stay as they are.
			file := outFile(t)
			on.Buildctl(t, byBuildctl(dir, on.syntax, "--output", "type=oci,dest="+file)...).
				RequireSuccess(t)
			require.Len(t, registry.ReadOCI(t, file), 1)

			o := on.Buildctl(t, byBuildctl(dir, on.syntax, "--output", "type=oci,dest="+file,
				"--opt", "cache-from="+env.Registry.Ref("attest/cache"))...).RequireSuccess(t)
			require.Contains(t, o.Text(),
				"the image gets no summary (attest: image): the build may import a build cache")
		})
	}
}
