package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// engineVariable switches the tests on a Docker Engine on. They take minutes to build what they
// need; see the target test-engine of the Makefile.
const engineVariable = "PF_ENGINE"

// A real Docker Engine runs real `docker build`. It has no setting that allows only some frontends.
// So the test checks that its BuildKit runs the image as buildkitd does.
func TestEngine(t *testing.T) {
	if os.Getenv(engineVariable) == "" {
		t.Skipf("a Docker Engine is tested by make test-engine, which sets %s", engineVariable)
	}
	env.Frontend(t, harness.EvilFrontend)
	us := env.WithPolicy(t, corpPolicy)
	d := env.StartEngine(t)

	for name, tc := range map[string]struct {
		syntax string
		args   []string
		want   string // text of the refusal; empty if the build succeeds
	}{
		"a syntax line that names us and the inner frontend": {syntax: us + " " + inner},
		"BUILDKIT_SYNTAX and an unedited file": {
			syntax: inner,
			args:   []string{"--build-arg", "BUILDKIT_SYNTAX=" + us},
		},
		"BUILDKIT_SYNTAX that names us and the inner frontend": {
			syntax: evil, args: []string{"--build-arg", "BUILDKIT_SYNTAX=" + us + " " + inner},
		},
		"a syntax line that names us and a refused frontend": {
			syntax: us + " " + evil, want: ">>> # syntax=" + us + " " + evil,
		},
		"BUILDKIT_SYNTAX and a file with a refused frontend": {
			syntax: evil, args: []string{"--build-arg", "BUILDKIT_SYNTAX=" + us},
			want: ">>> # syntax=" + evil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, out := harness.WriteContext(t, dockerfile(tc.syntax)), filepath.Join(t.TempDir(), "out")
			line := append([]string{"build", "--progress=plain", "-o", out}, tc.args...)
			o := d.Docker(t, dir, nil, append(line, ".")...)
			if tc.want != "" {
				o.RequireFailure(t, tc.want, "Policy: no rule allows "+evil, "frontend "+evil+" is refused",
					"policy:       corp-ci sha256:", "contact:      #build-help")
				require.NoDirExists(t, out)
				return
			}
			o.RequireSuccess(t)
			require.Contains(t, o.Text(), `[policy] rule "dockerfile" of corp-ci allows `+inner+"@")
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		})
	}
	t.Run("an image that the engine then has and builds on", func(t *testing.T) {
		t.Parallel()
		first := withSyntax(t, "FROM busybox\nRUN echo ran > /out\n", nil)
		d.Docker(t, first, nil, "build", "--progress=plain", "--build-arg", "BUILDKIT_SYNTAX="+us, "-t",
			"built:1", ".").RequireSuccess(t)
		second, out := withSyntax(t, "FROM built:1 AS b\nFROM scratch\nCOPY --from=b /out /\n", nil),
			t.TempDir()
		d.Docker(t, second, nil, "build", "--progress=plain", "--build-arg", "BUILDKIT_SYNTAX="+us, "-o",
			out, ".").RequireSuccess(t)
		require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	})
	t.Run("an inner image that a client's source policy converts", func(t *testing.T) {
		t.Parallel()
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile})
		d.Docker(t, dir,
			[]string{sourcePolicy(t, convertRule("docker-image://docker.io/docker/dockerfile*", evilImage))},
			"build", "--progress=plain", "--build-arg", "BUILDKIT_SYNTAX="+us, ".").
			RequireFailure(t, "no source policy of the client may replace its image")
	})
	t.Run("what would run, and why not", func(t *testing.T) {
		t.Parallel()
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile, "Evil": evilFile})
		call := []string{
			"build", "--progress=plain", "--call=policy", "--build-arg",
			"BUILDKIT_SYNTAX=" + us,
		}
		d.Docker(t, dir, nil, append(call, ".")...).RequireSuccess(t)
		o := d.Docker(t, dir, nil, append(call, "-f", "Evil", ".")...).RequireFailure(t,
			"no rule allows "+evil)
		require.Equal(t, 1, o.ExitCode)
	})
	t.Run("each dispatcher", func(t *testing.T) {
		t.Parallel()
		testDispatchers(t, func(t *testing.T, syntax, dir string, args ...string) harness.Output {
			t.Helper()
			return d.Docker(t, dir, nil, byBuildx(syntax, args...)...)
		})
	})
	t.Cleanup(func() { requireNoEvil(t) })
}
