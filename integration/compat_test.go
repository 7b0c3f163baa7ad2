package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

// If a run was told to use another buildkitd, it uses that one. The daemon on the socket has that
// version, and runs as root or not, as wanted.
func TestTheChosenBuildkitd(t *testing.T) {
	t.Parallel()
	d := env.Plain(t)
	c, err := client.New(t.Context(), d.Addr)
	require.NoError(t, err)
	defer c.Close()
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, env.BuildKitVersion(), info.BuildkitVersion.Version)

	chosen := os.Getenv(provision.BuildkitdVariable)
	rootless := chosen == "rootless"
	if strings.HasPrefix(chosen, "v") {
		require.True(t, strings.HasPrefix(info.BuildkitVersion.Version, chosen+"."),
			"%s was asked for, it is %s", chosen, info.BuildkitVersion.Version)
	}
	// The root user of a build is the daemon's user, or root in its user namespace.
	out := t.TempDir()
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox AS b\nRUN cat /proc/self/uid_map > /out\n" +
			"FROM scratch\nCOPY --from=b /out /\n",
	})
	d.Buildx(t, dir, "build", "--progress=plain", "-o", out, ".").RequireSuccess(t)
	var inside, outside int
	_, err = fmt.Sscan(read(t, filepath.Join(out, "out")), &inside, &outside)
	require.NoError(t, err)
	require.Zero(t, inside)
	require.Equal(t, rootless, outside != 0, "uid 0 of a build is %d of the machine's", outside)
}

// The table of the README names each version that has a module, and no other.
func TestTheREADMENamesWhatIsTested(t *testing.T) {
	t.Parallel()
	root := env.Tools.Root
	_, table, ok := strings.Cut(read(t, filepath.Join(root, "README.md")), "\n## Tested with\n")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\n\nBefore ")
	require.True(t, ok)

	required := regexp.MustCompile(`(?m)^\s*(?:require )?github.com/moby/(?:buildkit|moby/v2) (v\S+)`)
	compose := regexp.MustCompile(`(?m)^\s*github.com/docker/compose/v5 (v\S+)`) // only a client
	tested := map[string]bool{}
	modules, err := filepath.Glob(filepath.Join(root, "tools", "compat", "*", "go.mod"))
	require.NoError(t, err)
	for _, file := range append(modules, filepath.Join(root, "tools", "go.mod")) {
		version := required
		if filepath.Base(filepath.Dir(file)) == "compose" {
			version = compose
		}
		for _, m := range version.FindAllStringSubmatch(read(t, file), -1) {
			tested[m[1]] = true
		}
	}
	named := map[string]bool{}
	for _, version := range regexp.MustCompile(`v\d[\w.-]*\w`).FindAllString(table, -1) {
		named[version] = true
	}
	delete(named, "v0.2") // a version of SLSA
	require.GreaterOrEqual(t, len(tested), 6)
	require.Equal(t, tested, named)
}
