package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// TestAReplayOfABuild keeps what the pages say of `docker buildx replay` true. It takes frontend,
// source and named contexts from an image's provenance, and by default pins every image to the
// digest in there.
func TestAReplayOfABuild(t *testing.T) {
	t.Parallel()
	env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
	d := env.SolePermitted(t)
	repository, _ := harness.GitServer(t, dockerfile(inner))
	const (
		rules   = "build: {images: {allow: [busybox]}}\n"
		pinned  = "no source policy of the client may replace its image"
		refused = "frontend docker/dockerfile:1 is refused: no rule allows docker/dockerfile:1"
	)
	for name, tc := range map[string]struct {
		policy string
		// These are parts of the refusal of a replay, after a policy that refuses docker/dockerfile
		// has taken the place of the one of the build. Empty ones succeed.
		materials, frontend string
	}{
		"forward": {policy: "dispatch: forward\n"},
		"forward with build rules": {
			policy: "dispatch: forward\n" + rules, materials: pinned, frontend: refused,
		},
		"mediate": {
			policy: "dispatch: mediate\n", materials: pinned, frontend: refused,
		},
		"builtin": {policy: "dispatch: builtin\n", frontend: refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const allow = "version: 1\nid: corp-ci\nfrontends: [{match: [docker/dockerfile]}]\n"
			tag := "replay-" + strings.ReplaceAll(name, " ", "-")
			us, built := env.Repository()+":"+tag, env.Registry.Ref("replay/"+tag+":1")
			require.NoError(t, env.Registry.Tag(env.WithPolicy(t, allow+tc.policy), us))
			line := byBuildx(us, "--provenance=mode=max", "--output", "type=image,push=true,name="+built)
			line[len(line)-1] = repository
			d.Buildx(t, t.TempDir(), line...).RequireSuccess(t)

			replay := func(mode string) (out string, o harness.Output) {
				out = filepath.Join(t.TempDir(), "out")
				return out, d.Buildx(t, t.TempDir(), "replay", "build", "--progress=plain",
					"--replay-mode="+mode, "--output", "type=local,dest="+out, "docker-image://"+built)
			}
			out, o := replay("frontend")
			o.RequireSuccess(t)
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
			require.NoError(t, env.Registry.Tag(
				env.WithPolicy(t, "version: 1\nid: corp-ci\nfrontends: []\n"), us))
			for mode, want := range map[string]string{
				"materials": tc.materials, "frontend": tc.frontend,
			} {
				t.Run(mode, func(t *testing.T) {
					out, o := replay(mode)
					if want != "" {
						o.RequireFailure(t, want)
						require.NoDirExists(t, out)
						return
					}
					o.RequireSuccess(t)
					require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
				})
			}
		})
	}
}
