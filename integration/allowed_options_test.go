package integration

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// overlayPolicy is corpPolicy for builds that send an overlay.
const overlayPolicy = corpPolicy + "overlay: {accept: narrow}\n"

const overlay = `version: 1
id: team
frontends: [{name: echo, match: ["frontends/echofrontend"]}]
`

// The inner frontend gets the same options as without the policy frontend. Two sorts differ: the
// policy frontend's own options, and those that say how it was called.
func TestAllowedOptionsReachTheInnerFrontend(t *testing.T) {
	t.Parallel()
	echo := env.Frontend(t, harness.EchoFrontend)
	them := direct(t)
	var ours []through
	for _, w := range imageWays() {
		ours = append(ours, w.throughPolicy(t, overlayPolicy))
	}
	asked := echo + " --flag value"

	for name, tc := range map[string]struct {
		buildx []string
		ctl    []string // options of buildctl, used instead of args
		want   map[string]string
	}{
		"of buildx": {
			buildx: []string{
				"--build-arg=WHO=me", "--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", "--label=l=1",
				"--target=t", "--no-cache",
				"--platform=linux/arm64", "--add-host=h:1.2.3.4",
				"--build-context=base=docker-image://busybox", "--file=other",
			},
			want: map[string]string{
				"build-arg:WHO": "me",
				"build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1",
				"label:l":  "1",
				"target":   "t",
				"platform": "linux/arm64",
				"filename": "other",
			},
		},
		"of buildctl with names that nobody knows": {
			ctl: []string{
				"build-arg:WHO=me", "nobody-knows=this", "x:y=z", "build-arg:X_POLICY_FRONTEND_Y=kept",
			},
			want: map[string]string{
				"build-arg:WHO":                 "me",
				"nobody-knows":                  "this",
				"x:y":                           "z",
				"build-arg:X_POLICY_FRONTEND_Y": "kept",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := harness.WriteContext(t, map[string]string{"Dockerfile": "\n", "other": "\n"})
			build := func(s side, source string, own ...string) map[string]string {
				out := t.TempDir()
				if tc.ctl != nil {
					args := byBuildctl(dir, source, "--opt", "cmdline="+strings.TrimSpace(cmdlineOf(s, asked)),
						"--output", "type=local,dest="+out)
					for _, o := range append(own, tc.ctl...) {
						args = append(args, "--opt", o)
					}
					s.Buildctl(t, args...).RequireSuccess(t)
				} else {
					args := append([]string{"--output", out}, tc.buildx...)
					for _, o := range own {
						args = append(args, "--build-arg", strings.TrimPrefix(o, "build-arg:"))
					}
					s.Buildx(t, dir, byBuildx(cmdlineOf(s, asked), args...)...).RequireSuccess(t)
				}
				var opts map[string]string
				require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(out, "opts.json"))), &opts))
				return opts
			}
			want := build(them, echo)
			for key, value := range tc.want {
				require.Equal(t, value, want[key], key)
			}
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) {
					got := build(us.side, us.syntax, "build-arg:POLICY_FRONTEND_POLICY="+overlay,
						"build-arg:POLICY_FRONTEND_NONSENSE=1")
					require.Equal(t, asked, got["cmdline"])
					require.NotContains(t, got, "build-arg:BUILDKIT_SYNTAX")
					if us.dispatch == policy.DispatchForward {
						rebound := "context:" + got["source"]
						require.Equal(t, "docker-image://docker.io/"+echo+"@"+digestOf(t, echo), got[rebound])
						delete(got, rebound)
					}
					// Nothing else is added, changed or lost.
					require.Equal(t, withoutTheCall(want), withoutTheCall(got))
				})
			}
		})
	}
}

// withoutTheCall returns the options except for those that say how a frontend was called.
func withoutTheCall(opts map[string]string) map[string]string {
	opts = maps.Clone(opts)
	delete(opts, "source")
	delete(opts, "cmdline")
	delete(opts, "build-arg:BUILDKIT_SYNTAX")
	return opts
}

// cmdlineOf returns the value of BUILDKIT_SYNTAX for a build on a side that asks for a frontend.
func cmdlineOf(s side, asked string) string {
	if s.syntax == inner {
		return asked
	}
	return s.syntax + " " + asked
}

func TestAllowedUnknownOptionOfOursCausesAWarning(t *testing.T) {
	t.Parallel()
	each(t, waysApart(), testUnknownOptionOfOursCausesAWarning)
}

func testUnknownOptionOfOursCausesAWarning(t *testing.T, w way) {
	us := w.throughUs(t)
	o := us.buildx(t, harness.WriteContext(t, dockerfile(inner)), "--progress=rawjson",
		"--build-arg=POLICY_FRONTEND_NONSENSE=1").RequireSuccess(t)
	require.Contains(t, strings.Join(warningsOf(t, o), "\n"),
		"the policy frontend doesn't know the build-arg POLICY_FRONTEND_NONSENSE, so it has no effect")
}

func TestAllowedInputsReachTheInnerFrontend(t *testing.T) {
	t.Parallel()
	each(t, imageWays(), testInputsReachTheInnerFrontend)
}

func testInputsReachTheInnerFrontend(t *testing.T, w way) {
	echo := env.Frontend(t, harness.EchoFrontend)
	us := w.throughUs(t)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile":      "\n",
		"docker-bake.hcl": bakeFile,
		"base/Dockerfile": syntaxLine + "FROM busybox\n",
	})
	out := t.TempDir()
	c := us.BuildxCommand(dir, "bake", "--progress=plain", "--allow=fs=*", "--set=default.output="+out)
	c.Env = []string{"SYNTAX=" + us.syntax, "INNER=" + echo}
	// The file of the target base asks for docker/dockerfile in its own syntax line.
	us.Run(t, c).RequireSuccess(t)
	// buildx gives the inputs of a target numbers.
	require.JSONEq(t, `["0-base"]`, read(t, filepath.Join(out, "inputs.json")))
	require.Contains(t, read(t, filepath.Join(out, "opts.json")), `"context:base": "input:0-base"`)
}
