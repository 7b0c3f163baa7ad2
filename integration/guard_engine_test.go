package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// Docker's own commands build through policy-guard, if a builder has its address. The engine gets
// the images.
func TestEngineClientsBuildThroughGuard(t *testing.T) {
	if os.Getenv(engineVariable) == "" {
		t.Skipf("a Docker Engine is tested by make test-engine, which sets %s", engineVariable)
	}
	d := env.StartEngine(t)
	g := env.Guard(t, harness.DaemonConfig{}, guardBuiltin)
	dir := harness.WriteContext(t, dockerfile(""))
	d.Docker(t, dir, nil, "buildx", "create", "--name", "guarded", "--driver", "remote", g.Addr).
		RequireSuccess(t)
	t.Logf("%s%s", d.Docker(t, dir, nil, "version").Stdout,
		d.Docker(t, dir, nil, "compose", "version").Stdout)
	chosen := []string{"BUILDX_BUILDER=guarded"}
	bad := harness.WriteContext(t, dockerfile(forbidden))
	// ran says what a container of an image prints.
	ran := func(image string, command ...string) string {
		args := append([]string{"run", "--rm", "--network=none", image}, command...)
		return d.Docker(t, dir, nil, args...).RequireSuccess(t).Stdout
	}
	base := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo ran > /out\n"})

	t.Run("docker build --builder", func(t *testing.T) {
		out := t.TempDir()
		d.Docker(t, dir, nil, "build", "--builder=guarded", "-o", out, ".").RequireSuccess(t)
		require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		d.Docker(t, bad, nil, "build", "--builder=guarded", ".").RequireFailure(t,
			"no rule allows "+forbidden)
	})
	t.Run("docker build with BUILDX_BUILDER, and an image for the engine", func(t *testing.T) {
		d.Docker(t, base, chosen, "build", "--load", "-t", "guarded/built:1", ".").RequireSuccess(t)
		require.Equal(t, "ran\n", ran("guarded/built:1", "cat", "/out"))
		d.Docker(t, bad, chosen, "build", ".").RequireFailure(t, "no rule allows "+forbidden)
	})
	t.Run("docker compose build", func(t *testing.T) {
		project := composeProject(t)
		for name, tc := range map[string]struct{ env, args []string }{
			"--builder":      {nil, []string{"--builder=guarded"}},
			"BUILDX_BUILDER": {chosen, nil},
		} {
			t.Run(name, func(t *testing.T) {
				before := strings.Count(g.Log(), "msg=decided")
				args := append([]string{"compose", "--progress=plain", "build", "--no-cache"}, tc.args...)
				d.Docker(t, project, tc.env, args...).RequireSuccess(t)
				require.Equal(t, "2retnuh\nme\n", ran("composed/app:1", "cat", "/token"))
				require.Equal(t, before+2, strings.Count(g.Log(), "msg=decided"), "both through the guard")
			})
		}
		refused := composeProject(t)
		require.NoError(t, os.WriteFile(filepath.Join(refused, "base", "Dockerfile"),
			[]byte(dockerfile(forbidden)["Dockerfile"]), 0o600))
		d.Docker(t, refused, nil, "compose", "--progress=plain", "build", "--builder=guarded").
			RequireFailure(t, "no rule allows "+forbidden, "denied by policy")
	})
}
