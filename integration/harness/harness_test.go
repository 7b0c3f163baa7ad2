package harness_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

var env *harness.Env

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func(e *harness.Env) { env = e }))
}

func TestDaemonStopsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	d := env.StartDaemon(t, harness.DaemonConfig{})
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN echo ran > /out\n",
	})
	d.Buildx(t, dir, "build", "--progress=plain", ".").RequireSuccess(t)
	root := filepath.Dir(d.LogFile)
	d.Stop(t)
	require.NoDirExists(t, root)
}

func TestBuildWithDockerfileFrontendImage(t *testing.T) {
	t.Parallel()
	d := env.StartDaemon(t, harness.DaemonConfig{DockerfileOff: true})
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=docker/dockerfile:1\nFROM busybox AS b\nRUN echo ran > /out\n" +
			"FROM scratch\nCOPY --from=b /out /\n",
	})
	t.Run("through buildctl", func(t *testing.T) {
		out := t.TempDir()
		d.Buildctl(t, "build", "--frontend=gateway.v0", "--opt", "source=docker/dockerfile:1",
			"--local", "context="+dir, "--local", "dockerfile="+dir, "--output", "type=local,dest="+out).
			RequireSuccess(t)
		require.Equal(t, "ran\n", readFile(t, filepath.Join(out, "out")))
	})
	t.Run("through buildx", func(t *testing.T) {
		out := t.TempDir()
		d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX=docker/dockerfile:1", "-o", out, ".").
			RequireSuccess(t)
		require.Equal(t, "ran\n", readFile(t, filepath.Join(out, "out")))
	})
}

func TestAllowlistRefusesAnotherRepository(t *testing.T) {
	t.Parallel()
	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff:       true,
		AllowedRepositories: []string{env.Registry.Ref("permitted/frontend")},
	})
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
	})
	d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX=docker/dockerfile:1", ".").
		RequireFailure(t, "'docker/dockerfile:1' is not an allowed gateway source")
	d.Buildx(t, dir, "build", ".").RequireFailure(t, "dockerfile.v0")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// A daemon that broke off a download asks for the rest of it.
func TestTheRegistrySendsTheRestOfABlob(t *testing.T) {
	ref, err := name.ParseReference(env.Registry.Ref("library/busybox:latest"))
	require.NoError(t, err)
	image, err := remote.Image(ref)
	require.NoError(t, err)
	layers, err := image.Layers()
	require.NoError(t, err)
	blob, err := layers[0].Digest()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+env.Registry.Host()+"/v2/library/busybox/blobs/"+blob.String(), http.NoBody)
	require.NoError(t, err)
	req.Header.Set("Range", "bytes=100-")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, "the daemon leaves out what it has")
	size, err := layers[0].Size()
	require.NoError(t, err)
	require.Equal(t, size, resp.ContentLength)
}
