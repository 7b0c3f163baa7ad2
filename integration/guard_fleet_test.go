package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// buildx spreads the platforms of a build over several guards, each with a daemon of its own. Each
// guard decides by itself.
func TestBuildxSpreadsABuildOverGuards(t *testing.T) {
	t.Parallel()
	amd, arm := env.Guard(t, harness.DaemonConfig{}, resultsPolicy()),
		env.Guard(t, harness.DaemonConfig{}, resultsPolicy())
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nCOPY hello /\n", "hello": "hello\n",
	})
	const fleet = "fleet"
	create := func(platform string, at *harness.Guarded, more ...string) {
		amd.Buildx(t, dir, append(append([]string{
			"create", "--name", fleet, "--driver", "remote", "--platform", platform,
		}, more...), at.Addr)...).RequireSuccess(t)
	}
	create("linux/amd64", amd)
	create("linux/arm64", arm, "--append")
	build := func(name string) harness.Output {
		return amd.Buildx(t, dir, "build", "--builder="+fleet, "--progress=plain", "--push",
			"--platform=linux/amd64,linux/arm64", "-t", env.Registry.Ref("results/"+name), ".")
	}
	build("open/fleet:1").RequireSuccess(t)
	var built []string
	for _, image := range env.Registry.ReadImage(t, env.Registry.Ref("results/open/fleet:1")) {
		built = append(built, image.Platform)
	}
	require.Subset(t, built, []string{"linux/amd64", "linux/arm64"})
	for _, g := range []*harness.Guarded{amd, arm} {
		records := g.Buildx(t, dir, "history", "ls", "--format", "{{.Ref}}").RequireSuccess(t).Stdout
		require.NotEmpty(t, records, "each has built one of the platforms")
	}
	build("closed/fleet:1").RequireFailure(t, "the policy refuses pushing to ")
}
