package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const (
	predicateProvenance = "https://slsa.dev/provenance/v1"
	predicateSBOM       = "https://spdx.dev/Document"
)

// provenance is what these tests read of SLSA provenance v1 by BuildKit
// (docs/attestations/slsa-definitions.md).
type provenance struct {
	BuildDefinition struct {
		ResolvedDependencies []struct {
			URI    string            `json:"uri"`
			Digest map[string]string `json:"digest"`
		} `json:"resolvedDependencies"`
		ExternalParameters struct {
			Request struct {
				Frontend string            `json:"frontend"`
				Args     map[string]string `json:"args"`
				Root     struct {
					Request struct {
						Args map[string]string `json:"args"`
					} `json:"request"`
				} `json:"root"`
			} `json:"request"`
		} `json:"externalParameters"`
		InternalParameters struct {
			BuildConfig struct {
				LLB []json.RawMessage `json:"llbDefinition"`
			} `json:"buildConfig"`
		} `json:"internalParameters"`
	} `json:"buildDefinition"`
}

// materials are the dependencies without the query of their URI, each once.
func (p provenance) materials() map[string]string {
	found := map[string]string{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		uri, _, _ := strings.Cut(d.URI, "?")
		found[uri] = d.Digest["sha256"]
	}
	return found
}

func TestAllowedAttestations(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	us, them := throughUs(t), direct(t)
	dir := harness.WriteContext(t, dockerfile(inner))

	build := func(s side) (image harness.OCIImage, statements map[string]json.RawMessage) {
		file := outFile(t)
		s.buildx(t, dir, "--attest=type=provenance,mode=max", "--attest=type=sbom,generator="+scanner,
			"--output", comparableOutput(file)).RequireSuccess(t)
		images := harness.ReadOCI(t, file)
		require.Len(t, images, 2)
		require.False(t, images[0].Attestation)
		require.True(t, images[1].Attestation)
		statements = map[string]json.RawMessage{}
		for _, st := range images[1].Statements(t) {
			statements[st.PredicateType] = st.Predicate
		}
		require.Len(t, statements, 2)
		return images[0], statements
	}
	wantImage, want := build(them)
	gotImage, got := build(us)

	t.Run("the image is the same", func(t *testing.T) {
		require.Equal(t, wantImage.Digest, gotImage.Digest)
	})
	t.Run("the SBOM is the same and lists what was built", func(t *testing.T) {
		require.Contains(t, string(got[predicateSBOM]), `"fileName":"./out"`)
		require.JSONEq(t, string(want[predicateSBOM]), string(got[predicateSBOM]))
	})
	t.Run("the provenance names the frontend that ran, as it does without us", func(t *testing.T) {
		env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
		var w, g provenance
		require.NoError(t, json.Unmarshal(want[predicateProvenance], &w))
		require.NoError(t, json.Unmarshal(got[predicateProvenance], &g))
		pinned := digestOf(t, inner)

		require.Equal(t, strings.TrimPrefix(pinned, "sha256:"), g.materials()["pkg:docker/docker/dockerfile@1"])
		require.Equal(t, w.materials(), g.materials())
		require.Len(t, g.materials(), 3, "frontend, base image and scanner")

		// mode=max has the steps and the request; ours is there beside the one that
		// the client made.
		require.NotEmpty(t, g.BuildDefinition.InternalParameters.BuildConfig.LLB)
		require.Equal(t, w.BuildDefinition.InternalParameters.BuildConfig.LLB, g.BuildDefinition.InternalParameters.BuildConfig.LLB)
		request := g.BuildDefinition.ExternalParameters.Request
		require.Equal(t, "gateway.v0", request.Frontend)
		// The name in our repository behind which the inner image stands.
		standIn := env.Repository() + ":inner-" + strings.TrimPrefix(pinned, "sha256:")[:16]
		require.Equal(t, standIn, request.Args["source"])
		require.Equal(t, inner, request.Args["cmdline"])
		require.Equal(t, "docker-image://docker.io/"+inner+"@"+pinned, request.Args["context:"+standIn])
		require.Equal(t, us.syntax, request.Root.Request.Args["build-arg:BUILDKIT_SYNTAX"])
	})
}
