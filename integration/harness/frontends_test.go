package harness_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

func TestFrontendsOfTheTests(t *testing.T) {
	t.Parallel()
	d := env.Plain(t)

	t.Run("the YAML frontend builds for two platforms from a git context", func(t *testing.T) {
		yaml := env.Frontend(t, harness.YAMLFrontend)
		url, commit := harness.GitServer(t, map[string]string{
			"build.yaml": "# syntax=" + yaml +
				"\nbase: busybox\nfiles: {/etc/greeting: hello}\ncopy: [app]\n",
			"app": "app\n",
		})
		out := filepath.Join(t.TempDir(), "image.tar")
		d.Buildx(t, "", "build", "-f", "build.yaml", "--platform=linux/amd64,linux/arm64",
			"--provenance=false",
			"-o", "type=oci,dest="+out, url+"#"+commit).RequireSuccess(t)
		images := registry.ReadOCI(t, out)
		require.Len(t, images, 2)
		for i, platform := range []string{"linux/amd64", "linux/arm64"} {
			require.Equal(t, platform, images[i].Platform)
			require.Equal(t, "hello", images[i].File(t, "/etc/greeting"))
			require.Equal(t, "app\n", images[i].File(t, "/app"))
		}
	})

	t.Run("the YAML frontend runs commands", func(t *testing.T) {
		dir := harness.WriteContext(t, map[string]string{
			"build.yaml": "# syntax=" + env.Frontend(t, harness.YAMLFrontend) +
				"\nbase: busybox\nrun: ['echo ran > /out']\n",
		})
		out := t.TempDir()
		d.Buildx(t, dir, "build", "-f", "build.yaml", "-o", out, ".").RequireSuccess(t)
		require.Equal(t, "ran\n", readFile(t, filepath.Join(out, "out")))
	})

	t.Run("the echo frontend shows its options and answers a subrequest", func(t *testing.T) {
		echo := env.Frontend(t, harness.EchoFrontend)
		out := t.TempDir()
		d.Buildctl(t, "build", "--frontend=gateway.v0", "--opt", "source="+echo, "--opt", "build-arg:A=b",
			"--output", "type=local,dest="+out).RequireSuccess(t)
		var opts map[string]string
		require.NoError(t, json.Unmarshal([]byte(readFile(t, filepath.Join(out, "opts.json"))), &opts))
		require.Equal(t, "b", opts["build-arg:A"])
		require.Equal(t, echo, opts["source"])
		require.JSONEq(t, "[]", readFile(t, filepath.Join(out, "inputs.json")))

		dir := harness.WriteContext(t, map[string]string{"Dockerfile": "# syntax=" + echo + "\n"})
		o := d.Buildx(t, dir, "build", "--call=echo", ".").RequireSuccess(t)
		require.Contains(t, o.Stdout, `"requestid": "frontend.echo"`)
	})

	t.Run("the evil frontend leaves its mark where it runs", func(t *testing.T) {
		evil := env.Frontend(t, harness.EvilFrontend)
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": "# syntax=" + evil + "\n"})
		out := filepath.Join(t.TempDir(), "image.tar")
		d.Buildx(t, dir, "build", "-o", "type=oci,dest="+out, "--provenance=false", ".").RequireSuccess(t)
		images := registry.ReadOCI(t, out)
		require.Len(t, images, 1)
		require.Equal(t, "1", images[0].Config.Config.Labels["evil"])
		require.NotEmpty(t, env.Registry.BlobsPulled(harness.EvilFrontend.Repository()))
	})

	t.Run("the no-op forwarder dispatches where its own repository is the only one allowed",
		func(t *testing.T) {
			noop := env.Frontend(t, harness.NoopForwarder)
			d := env.StartDaemon(t, harness.DaemonConfig{DockerfileOff: true, AllowedRepositories: []string{
				env.Registry.Ref(harness.NoopForwarder.Repository()),
			}})
			dir := harness.WriteContext(t, map[string]string{
				"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
			})
			out := t.TempDir()
			d.Buildx(t, dir, "build", "--build-arg",
				"BUILDKIT_SYNTAX="+env.Registry.Ref(noop)+" docker/dockerfile:1", "-o", out, ".").
				RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "Dockerfile"))
		})

	t.Run("the SBOM scanner's statement and provenance are on the image", func(t *testing.T) {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY Dockerfile /only\n",
		})
		out := filepath.Join(t.TempDir(), "image.tar")
		d.Buildx(t, dir, "build", "--provenance=mode=max",
			"--sbom=generator="+env.Frontend(t, harness.SBOMScanner),
			"-o", "type=oci,dest="+out, ".").RequireSuccess(t)
		images := registry.ReadOCI(t, out)
		require.Len(t, images, 2)
		require.False(t, images[0].Attestation)
		require.True(t, images[1].Attestation)
		found := map[string]string{}
		for _, s := range images[1].Statements(t) {
			found[s.PredicateType] = string(s.Predicate)
		}
		require.Contains(t, found["https://spdx.dev/Document"], `"./only"`)
		provenance := "https://slsa.dev/provenance/v1"
		if env.Older("v0.28.0") {
			provenance = "https://slsa.dev/provenance/v0.2"
		}
		require.Contains(t, found, provenance)
	})
}
