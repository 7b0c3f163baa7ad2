package integration

import (
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

// TestACheckOfAStageThatTheBuildLeavesOut: a check looks up the images of all stages. The build of
// the same file is allowed; see TestCheckedBuildsAreTheSame.
func TestACheckOfAStageThatTheBuildLeavesOut(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		dir := withSyntax(t, "FROM evil/base:1 AS debug\nRUN true\nfrom busybox\nUSER app\n", nil)
		o := us.buildx(t, dir, "--call=check,format=json")
		require.Contains(t, o.Stdout, `"ruleName": "ConsistentInstructionCasing"`, "%s", o)
		if by != policy.DispatchForward { // it sees no lookups
			require.Contains(t, o.Stdout, "refuses the image evil/base:1", "%s", o)
		}
		us.buildx(t, dir, "--call=outline").RequireSuccess(t)
		us.buildx(t, dir, "--call=targets").RequireSuccess(t)
	})
}

// TestABaseImageWithoutLayers: docker/dockerfile takes its configuration and triggers, and leaves
// the image out of what it returns. Only lookups show it.
func TestABaseImageWithoutLayers(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	image, err := registry.NewImage("linux/"+runtime.GOARCH, v1.Config{
		Env: []string{"INJECTED=1"}, User: "app", OnBuild: []string{"COPY Dockerfile /from-the-trigger"},
	})
	require.NoError(t, err)
	require.NoError(t, env.Registry.PushImage(env.Registry.Ref("evil/triggers:1"), image))
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		o := us.buildx(t, withSyntax(t, "FROM evil/triggers:1\nCOPY Dockerfile /\n", nil),
			"-o", t.TempDir())
		if by == policy.DispatchForward {
			o.RequireSuccess(t) // as docs/threat-model.md says
			return
		}
		o.RequireFailure(t, "refuses the image evil/triggers:1")
	})
}
