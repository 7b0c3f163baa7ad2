package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// When the policy frontend solves a forwarded build again, the result still has its attestations
// and uses the inner frontend's cache imports.
func TestForwardedBuildsUnderRulesKeepCacheAndAttestations(t *testing.T) {
	t.Parallel()
	env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
	sites := newBuildSites(t)
	scanner := env.Frontend(t, harness.SBOMScanner)
	policy := strings.Replace(sites.policy(""), `"good/**"`,
		`"good/**", "`+strings.Split(scanner, ":")[0]+`"`, 1)
	dir := withSyntax(t, "FROM busybox AS b\nRUN head -c 32 /dev/urandom | sha256sum > /random\n"+
		"FROM scratch\nCOPY --from=b /random /\nUSER app\n", nil)
	cache := t.TempDir()
	build := func(s side, args ...string) (images []registry.OCIImage, progress string) {
		file := outFile(t)
		o := s.buildx(t, dir, append([]string{
			"--output", "type=oci,dest=" + file, "--attest=type=provenance,mode=max",
			"--attest=type=sbom,generator=" + scanner,
		}, args...)...).RequireSuccess(t)
		return registry.ReadOCI(t, file), o.Text()
	}
	syntax := env.WithPolicy(t, policy)
	first, _ := build(under(t, policy), "--cache-to=type=local,mode=max,dest="+cache)
	second, progress := build(under(t, policy), "--cache-from=type=local,src="+cache)
	require.True(t, cached(t, progress, "RUN head"), "%s", progress)
	require.Equal(t, first[0].Layers, second[0].Layers)
	ours := "pkg:docker/" + env.Repository() + "@" + syntax[strings.LastIndex(syntax, ":")+1:]
	digest := func(ref string) string { return strings.TrimPrefix(digestOf(t, ref), "sha256:") }
	for _, images := range [][]registry.OCIImage{first, second} {
		require.Len(t, images, 2)
		require.True(t, images[1].Attestation)
		statements := map[string]json.RawMessage{}
		for _, st := range images[1].Statements(t) {
			statements[st.PredicateType] = st.Predicate
		}
		require.Contains(t, string(statements[predicateSBOM]), "./random")

		// The policy frontend makes the second solve. So the provenance has the client's own request, and
		// names the policy frontend's image beside the inner one.
		var p provenance
		require.NoError(t, json.Unmarshal(statements[predicateProvenance], &p))
		require.Equal(t, syntax, p.BuildDefinition.ExternalParameters.Request.Args["source"])
		require.NotEmpty(t, p.BuildDefinition.InternalParameters.BuildConfig.LLB)
		require.NotEmpty(t, p.materials()[ours])
		require.Equal(t, map[string]string{
			"pkg:docker/busybox@latest":                           digest("library/busybox:latest"),
			"pkg:docker/docker/dockerfile@1":                      digest(inner),
			"pkg:docker/" + strings.Replace(scanner, ":", "@", 1): digest(scanner),
			ours: p.materials()[ours],
		}, p.materials())
	}
}

// A subrequest builds nothing, so there is nothing to check.
func TestSubrequestsUnderRulesAreAnswered(t *testing.T) {
	t.Parallel()
	us := under(t, newBuildSites(t).policy(""))
	dir := withSyntax(t, "FROM busybox AS first\nFROM first AS second\n", nil)
	for call, want := range map[string]string{
		"targets": "second",
		"outline": "TARGET:",
		"check":   "Check complete",
	} {
		require.Contains(t, us.buildx(t, dir, "--call="+call).RequireSuccess(t).Text(), want)
	}
}
