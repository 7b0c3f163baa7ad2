package integration

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// guardPolicy allows docker/dockerfile 1, as an image or as the daemon's own.
const guardPolicy = `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    tags: ["1", "1.*"]
`

// guardBuiltin has the daemon's own frontend serve docker/dockerfile.
const guardBuiltin = guardPolicy + "    dispatch: builtin\n"

// Clients need nothing but another address: no BUILDKIT_SYNTAX and no edited build file.
func TestGuardLetsThroughWhatThePolicyAllows(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"forward": guardPolicy, "builtin": guardBuiltin} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := env.Guard(t, harness.DaemonConfig{}, policy)
			for name, tc := range map[string]struct {
				syntax string
				args   func(dir, out string) []string // for buildctl if they begin with "buildctl"
			}{
				"a file without a syntax line": {"", func(_, out string) []string {
					return []string{"build", "--progress=plain", "-o", out, "."}
				}},
				"a file with a syntax line": {"docker/dockerfile:1", func(_, out string) []string {
					return []string{"build", "--progress=plain", "-o", out, "."}
				}},
				"BUILDKIT_SYNTAX": {evil, func(_, out string) []string {
					return byBuildx("docker/dockerfile:1", "-o", out)
				}},
				"buildctl with the gateway": {"", func(dir, out string) []string {
					return append([]string{"buildctl"},
						byBuildctl(dir, "docker/dockerfile:1", "--output", "type=local,dest="+out)...)
				}},
				"buildctl with dockerfile.v0": {"", func(dir, out string) []string {
					return []string{
						"buildctl", "build", "--frontend=dockerfile.v0", "--local", "context=" + dir,
						"--local", "dockerfile=" + dir, "--output", "type=local,dest=" + out,
					}
				}},
			} {
				t.Run(name, func(t *testing.T) {
					files := dockerfile(tc.syntax)
					dir, out := harness.WriteContext(t, files), t.TempDir()
					args := tc.args(dir, out)
					var o harness.Output
					if args[0] == "buildctl" {
						o = g.Buildctl(t, args[1:]...).RequireSuccess(t)
					} else {
						o = g.Buildx(t, dir, args...).RequireSuccess(t)
					}
					require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
					require.Contains(t, o.Text(),
						`[policy] rule "dockerfile" of corp-ci allows docker/dockerfile:1`)
				})
			}
		})
	}
}

// What clients do beside plain builds works, or says why it doesn't.
func TestGuardServesBuildx(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))

	t.Run("the metadata has the decision", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "metadata.json")
		g.Buildx(t, dir, "build", "--metadata-file", file, ".").RequireSuccess(t)
		var decision struct{ Verdict, Rule string }
		var text string
		require.NoError(t, json.Unmarshal(
			harness.ReadMetadata(t, file)["frontend.policy.decision"], &text))
		require.NoError(t, json.Unmarshal([]byte(text), &decision))
		require.Equal(t, "allow", decision.Verdict)
		require.Equal(t, "dockerfile", decision.Rule)
	})
	t.Run("--call=policy", func(t *testing.T) {
		t.Parallel()
		o := g.Buildx(t, dir, "build", "--call=policy", ".").RequireSuccess(t)
		require.Contains(t, o.Stdout, "frontend docker/dockerfile:1 is allowed")
		bad := harness.WriteContext(t, dockerfile(forbidden))
		o = g.Buildx(t, bad, "build", "--call=policy", ".").RequireFailure(t)
		require.Contains(t, o.Stdout, "frontend "+forbidden+" is refused")
	})
	t.Run("--call=outline", func(t *testing.T) {
		t.Parallel()
		args := []string{"build", "--call=outline", "."}
		require.Equal(t, g.Behind.Buildx(t, dir, args...).RequireSuccess(t).Stdout,
			g.Buildx(t, dir, args...).RequireSuccess(t).Stdout)
	})
	t.Run("several platforms and an attestation", func(t *testing.T) {
		t.Parallel()
		two := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile})
		out := filepath.Join(t.TempDir(), "image.tar")
		g.Buildx(t, two, "build", "--platform=linux/amd64,linux/arm64", "--provenance=mode=max", "-o",
			"type=oci,dest="+out, ".").RequireSuccess(t)
		require.FileExists(t, out)
	})
	t.Run("bake", func(t *testing.T) {
		t.Parallel()
		bake := harness.WriteContext(t, map[string]string{
			"Dockerfile": goodFile,
			"docker-bake.json": `{"group": {"default": {"targets": ["a", "b"]}},
				"target": {"a": {}, "b": {}}}`,
		})
		g.Buildx(t, bake, "bake").RequireSuccess(t)
	})
	t.Run("history", func(t *testing.T) {
		t.Parallel()
		g.Buildx(t, dir, "build", ".").RequireSuccess(t)
		g.Buildx(t, dir, "history", "ls").RequireSuccess(t)
	})
	t.Run("a refused frontend", func(t *testing.T) {
		t.Parallel()
		bad := harness.WriteContext(t, dockerfile(forbidden))
		g.Buildx(t, bad, "build", ".").RequireFailure(t, "line 1 of Dockerfile", "#build-help",
			"no rule allows "+forbidden, "Dockerfile:1")
	})
	t.Run("a failing command", func(t *testing.T) {
		t.Parallel()
		broken := harness.WriteContext(t, map[string]string{
			"Dockerfile": goodSyntax + "FROM busybox\nRUN exit 7\n",
		})
		g.Buildx(t, broken, "build", ".").RequireFailure(t, "exit code: 7", ">>> RUN exit 7")
	})
}

// The daemon runs the frontend while policy-guard has its image loaded. It says less about an image
// that it can't read.
func TestGuardSaysThatAFrontendsImageCannotBeRead(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, `version: 1
frontends: [{name: dockerfile, match: ["docker/dockerfile"]}]
`)
	missing := "docker/dockerfile@sha256:" + strings.Repeat("1", 64)
	dir := harness.WriteContext(t, dockerfile(""))
	g.Buildctl(t, byBuildctl(dir, missing)...).RequireFailure(t,
		"frontend "+missing+" is refused: its image can't be read")
}
