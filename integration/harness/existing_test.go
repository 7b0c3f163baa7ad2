package harness_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const existingVariable = "HARNESS_TEST_EXISTING"

// TestHelperOnARunningDaemon is not a test of its own: the next one runs it in a process
// whose daemon is given by address.
func TestHelperOnARunningDaemon(t *testing.T) {
	if os.Getenv(existingVariable) == "" {
		t.Skip("runs in a process of the next test only")
	}
	t.Run("as configured", func(t *testing.T) {
		us := env.WithPolicy(t, dockerfileOnly)
		d := env.SolePermitted(t)
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox AS b\nRUN echo ran > /out\nFROM scratch\nCOPY --from=b /out /\n",
		})
		out := t.TempDir()
		build := []string{
			"build", "--build-arg", "BUILDKIT_SYNTAX=" + us + " docker/dockerfile:1", "-o", out, ".",
		}
		d.Buildx(t, dir, build...).RequireSuccess(t)
		require.Equal(t, "ran\n", readFile(t, filepath.Join(out, "out")))
		d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX="+us+" other/frontend:1", ".").
			RequireFailure(t, "other/frontend:1")
	})
	t.Run("with dockerfile.v0", func(t *testing.T) { env.DockerfileOn(t) })
	t.Run("with another repository", func(t *testing.T) {
		env.StartDaemon(t, harness.DaemonConfig{
			DockerfileOff:       true,
			AllowedRepositories: []string{"other"},
		})
	})
	t.Run("with an entitlement", func(t *testing.T) {
		env.StartDaemon(t, harness.DaemonConfig{
			DockerfileOff: true, AllowedRepositories: []string{env.Repository()},
			Entitlements: []string{"network.host"},
		})
	})
}

func TestDaemonThatRunsAlreadyIsUsed(t *testing.T) {
	env.NeedsOwnDaemon(t, "it starts the daemon that another process uses")
	t.Parallel()
	registry := "localhost:" + strconv.Itoa(freePort(t))
	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true, AllowedRepositories: []string{registry + "/policy-frontend"},
		Mirrors: map[string][]string{"docker.io": {registry}},
	})

	t.Run("and a test that needs another one says why it is skipped", func(t *testing.T) {
		output, err := onDaemon(d.Addr, strings.TrimPrefix(registry, "localhost:"))
		require.NoError(t, err, output)
		require.Contains(t, output, "--- PASS: TestHelperOnARunningDaemon/as_configured")
		for test, why := range map[string]string{
			"with_dockerfile.v0":      "it needs dockerfile.v0 with enabled = true",
			"with_another_repository": `it needs allowedRepositories = ["other"]`,
			"with_an_entitlement":     `it needs insecure-entitlements = ["network.host"]`,
		} {
			require.Contains(t, output, "--- SKIP: TestHelperOnARunningDaemon/"+test)
			require.Contains(t, output, "can't run on the daemon at PF_BUILDKIT_HOST="+d.Addr+": "+why)
		}
		d.Buildctl(t, "debug", "workers").RequireSuccess(t)
	})
	t.Run("and one that doesn't know the tests' registry is refused", func(t *testing.T) {
		output, err := onDaemon(d.Addr, strconv.Itoa(freePort(t)))
		require.Error(t, err)
		require.Contains(t, output, "its allowedRepositories must contain \"localhost:")
	})
	t.Run("and its registry must have a known port", func(t *testing.T) {
		output, err := onDaemon(d.Addr, "")
		require.Error(t, err)
		require.Contains(t, output, "PF_BUILDKIT_HOST needs PF_REGISTRY_PORT")
	})
}

// onDaemon runs TestHelperOnARunningDaemon in a process of its own.
func onDaemon(addr, port string) (string, error) {
	helper := exec.Command(os.Args[0], "-test.run=^TestHelperOnARunningDaemon$", "-test.v")
	helper.Env = append(os.Environ(), existingVariable+"=1", provision.BuildkitdVariable+"=",
		harness.BuildkitHostVariable+"="+addr, harness.RegistryPortVariable+"="+port)
	output, err := helper.CombinedOutput()
	return string(output), err
}

// freePort returns a port of 127.0.0.1 that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
