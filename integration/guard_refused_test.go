package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// Clients make calls about a build in parallel with the request for it, and show what fails first.
func TestGuardsRefusalOfABuildIsWhatClientsShow(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))
	for name, tc := range map[string]struct {
		build func() harness.Output
		want  string
	}{
		"buildctl with an entitlement": {func() harness.Output {
			return g.Buildctl(t, byBuildctl(dir, inner, "--allow=network.host")...)
		}, "the policy refuses the entitlement network.host"},
		"buildctl that exports": {func() harness.Output {
			return g.Buildctl(t, byBuildctl(dir, inner, "--output",
				"type=image,name=registry.example/app,push=true")...)
		}, "the policy refuses pushing to registry.example/app:latest"},
		"buildx with an entitlement": {func() harness.Output {
			return g.Buildx(t, dir, byBuildx(inner, "--allow=network.host")...)
		}, "the policy refuses the entitlement network.host"},
		"buildx that exports": {func() harness.Output {
			return g.Buildx(t, dir, byBuildx(inner, "--push", "--tag=registry.example/app")...)
		}, "the policy refuses pushing to registry.example/app:latest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 3 { // which call fails first differs
				o := tc.build().RequireFailure(t, "policy-guard refuses /moby.buildkit.v1.Control/Solve",
					tc.want)
				require.NotContains(t, o.Text(), "no such")
			}
		})
	}
}
