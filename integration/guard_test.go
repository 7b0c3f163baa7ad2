package integration

import (
	"path/filepath"
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
