package integration

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	predicateProvenance = "https://slsa.dev/provenance/v1"
	predicateSBOM       = "https://spdx.dev/Document"
)

// provenance has the fields of BuildKit's SLSA provenance v1 that these tests read
// (docs/attestations/slsa-definitions.md).
type provenance struct {
	BuildDefinition struct {
		ResolvedDependencies []struct {
			URI    string            `json:"uri"`
			Digest map[string]string `json:"digest"`
		} `json:"resolvedDependencies"`
		ExternalParameters struct {
			Request struct {
				Frontend string                     `json:"frontend"`
				Args     map[string]string          `json:"args"`
				Inputs   map[string]json.RawMessage `json:"inputs"`
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

// materials returns the dependencies, each once. Their URIs have no query.
func (p provenance) materials() map[string]string {
	found := map[string]string{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		uri, _, _ := strings.Cut(d.URI, "?")
		found[strings.ReplaceAll(uri, "%3A", ":")] = d.Digest["sha256"] // v0.30 escapes it
	}
	return found
}

func TestAllowedAttestations(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	them, ours := direct(t), throughEach(t, ways())
	dir := harness.WriteContext(t, dockerfile(inner))

	build := func(
		t *testing.T, s side,
	) (image registry.OCIImage, statements map[string]json.RawMessage) {
		file := outFile(t)
		s.buildx(t, dir, "--attest=type=provenance,mode=max", "--attest=type=sbom,generator="+scanner,
			"--output", comparableOutput(file)).RequireSuccess(t)
		images := registry.ReadOCI(t, file)
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
	wantImage, want := build(t, them)
	require.Contains(t, string(want[predicateSBOM]), `"fileName":"./out"`)

	for _, us := range ours {
		t.Run(us.way.name, func(t *testing.T) {
			t.Parallel()
			gotImage, got := build(t, us.side)
			t.Run("the image is the same", func(t *testing.T) {
				require.Equal(t, wantImage.Digest, gotImage.Digest)
			})
			t.Run("the SBOM is the same", func(t *testing.T) {
				require.JSONEq(t, string(want[predicateSBOM]), string(got[predicateSBOM]))
			})
			t.Run("the provenance names what ran", func(t *testing.T) {
				env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
				var w, g provenance
				require.NoError(t, json.Unmarshal(want[predicateProvenance], &w))
				require.NoError(t, json.Unmarshal(got[predicateProvenance], &g))
				require.Len(t, w.materials(), 3, "frontend, base image and scanner")
				us.requireFrontends(t, w.materials(), g.materials())

				// Only mode=max has the steps and the request.
				require.NotEmpty(t, g.BuildDefinition.InternalParameters.BuildConfig.LLB)
				require.Equal(t, w.BuildDefinition.InternalParameters.BuildConfig.LLB,
					g.BuildDefinition.InternalParameters.BuildConfig.LLB)
				us.requireRequest(t, g)
			})
		})
	}
}

// innerMaterial is the URI of docker/dockerfile among the materials.
const innerMaterial = "pkg:docker/docker/dockerfile@1"

// solves reports whether the policy frontend solves the result's definitions. It does so in place
// of the inner frontend, or a second time to apply the rules.
func (us through) solves() bool { return us.dispatch != policy.DispatchForward || us.build != "" }

// requireFrontends fails the test unless the materials are those of a build without the policy
// frontend. They name the inner frontend by its digest if it ran as an image. They also name the
// policy frontend by its digest if it solved the result.
func (us through) requireFrontends(t *testing.T, without, materials map[string]string) {
	t.Helper()
	want := maps.Clone(without)
	require.Equal(t, strings.TrimPrefix(digestOf(t, inner), "sha256:"), want[innerMaterial])
	if us.dispatch == policy.DispatchBuiltin {
		delete(want, innerMaterial)
	}
	if us.solves() {
		ours, err := env.Registry.Digest(us.syntax)
		require.NoError(t, err)
		_, tag, _ := strings.Cut(us.syntax, "policy-frontend:")
		want["pkg:docker/"+env.Repository()+"@"+tag] = strings.TrimPrefix(ours, "sha256:")
	}
	require.Equal(t, want, materials)
}

// requireRequest fails the test unless the provenance has the client's request. If the policy
// frontend made a request of its own, the provenance has both.
func (us through) requireRequest(t *testing.T, p provenance) {
	t.Helper()
	request := p.BuildDefinition.ExternalParameters.Request
	require.Equal(t, "gateway.v0", request.Frontend)
	if us.solves() {
		require.Equal(t, us.syntax, request.Args["build-arg:BUILDKIT_SYNTAX"])
		return
	}
	// The inner image runs under this name in the policy frontend's repository.
	pinned := digestOf(t, inner)
	standIn := env.Repository() + ":inner-" + strings.TrimPrefix(pinned, "sha256:")[:16]
	require.Equal(t, standIn, request.Args["source"])
	require.Equal(t, inner, request.Args["cmdline"])
	require.Equal(t, "docker-image://docker.io/"+inner+"@"+pinned, request.Args["context:"+standIn])
	require.Equal(t, us.syntax, request.Root.Request.Args["build-arg:BUILDKIT_SYNTAX"])
}

// The provenance of a bake target names the requests of the targets that it is linked to. The
// daemon knows such a request by what it returned. Forward with build rules has the daemon solve
// that a second time, so there are two requests for it, and the daemon names neither.
// docs/threat-model.md says so. If this test fails there, BuildKit names one.
func TestTheProvenanceOfLinkedTargets(t *testing.T) {
	t.Parallel()
	env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
	dir := withSyntax(t, "FROM base\nRUN echo out > /out\n", map[string]string{
		"docker-bake.hcl": bakeFile,
		"base/Dockerfile": syntaxLine + "FROM busybox\nRUN echo base > /base\n",
	})
	inputs := func(t *testing.T, s side) map[string]json.RawMessage {
		t.Helper()
		file := outFile(t)
		s.bake(t, dir, "--provenance=mode=max", "--set=default.output="+comparableOutput(file)).
			RequireSuccess(t)
		images := registry.ReadOCI(t, file)
		require.Len(t, images, 2)
		var p provenance
		require.NoError(t, json.Unmarshal(images[1].Statements(t)[0].Predicate, &p))
		return p.BuildDefinition.ExternalParameters.Request.Inputs
	}
	require.Len(t, inputs(t, direct(t)), 1)
	for _, us := range append(throughEach(t, ways()), guardedEach(t)...) {
		t.Run(us.way.name, func(t *testing.T) {
			t.Parallel()
			if us.dispatch == policy.DispatchForward && us.build != "" {
				require.Empty(t, inputs(t, us.side))
				return
			}
			require.Len(t, inputs(t, us.side), 1)
		})
	}
}
