package integration

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestCheckedBuildsAreTheSame(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	them := direct(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o600))
	cases := map[string]struct {
		file, unconverted string
		files             map[string]string
		args              []string
	}{
		"stages with commands and a secret": {
			file: "FROM busybox AS a\n" +
				"RUN --mount=type=secret,id=npm-token wc -c < /run/secrets/npm-token > /one\n" +
				"FROM good/base:1\nCOPY --from=a /one /\nUSER app\n",
			args: []string{"--secret=id=npm-token,src=" + secret},
		},
		"two platforms": {
			file:  "FROM busybox\nCOPY hello /\nUSER app\n",
			files: map[string]string{"hello": "x"},
			args:  []string{"--platform=linux/amd64,linux/arm64"},
		},
		"one platform of an image for each": {
			file: "ARG TARGETARCH\nFROM plat/${TARGETARCH}:1\nUSER app\n",
		},
		"a download and a git repository": {
			file: "FROM scratch\nADD " + sites.files + "/file /a\nADD " + sites.git + "#" + sites.commit +
				" /b\nADD " + sites.git + " /c\nUSER app\n",
		},
		"downloads by URLs that programs read in two ways": {
			file: "ARG BASE=" + sites.files + "/\nFROM scratch\nARG BASE\nADD ${BASE}/sub/file /a\n" +
				"ADD " + sites.files + "/sub%2Ffile /b\nUSER app\n",
		},
		"a folder as named context": {
			file:  "FROM scratch\nCOPY --from=more hello /\nUSER app\n",
			files: map[string]string{"sub/hello": "x"},
			args:  []string{"--build-context=more=sub"},
		},
		"nothing at all": {file: "FROM scratch\nUSER app\n"},
		"an image that stands for another": {
			file:        "FROM old/base:1\nRUN echo ran > /out\nUSER app\n",
			unconverted: "FROM good/base:1\nRUN echo ran > /out\nUSER app\n",
		},
		"a stage of which nothing is used": {
			file: "FROM evil/base:1 AS unused\nRUN false\nFROM busybox\nUSER app\n",
		},
	}
	sites.eachJudge(t, "", func(t *testing.T, us side, _ policy.Dispatch) {
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				build := func(s side, file string) string {
					out := outFile(t)
					s.buildx(t, withSyntax(t, file, tc.files),
						append([]string{
							"--provenance=false", "--output", comparableOutput(out),
						}, tc.args...)...).RequireSuccess(t)
					return out
				}
				requireSameResult(t, build(them, cmp.Or(tc.unconverted, tc.file)), build(us, tc.file))
			})
		}
	})
}

// Build files name old versions of docker/dockerfile, which ask for the same in other words: this
// one is of the oldest BuildKit that is supported.
func TestAnOldDockerfileFrontendIsChecked(t *testing.T) {
	t.Parallel()
	env.NeedsCurrent(t, "the frontend is the same on each")
	sites := newBuildSites(t)
	old := filepath.Join(t.TempDir(), "dockerfile-frontend")
	goBuild(t, filepath.Join(env.Tools.Root, "tools", "compat", "buildkit-v0.14"),
		"github.com/moby/buildkit/frontend/dockerfile/cmd/dockerfile-frontend", old)
	const ref = "old/docker/dockerfile:1.8"
	require.NoError(t, env.Registry.PushFrontend(env.Registry.Ref(ref), registry.FrontendImage{
		Binaries:   map[string]string{registry.HostPlatform(): old},
		Entrypoint: "/" + filepath.Base(old),
		Labels:     registry.DockerfileLabels(),
	}))
	for _, by := range []policy.Dispatch{policy.DispatchForward, policy.DispatchMediate} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			us := under(t, strings.Replace(sites.policy("dispatch: "+string(by)), "docker/dockerfile",
				"old/docker/dockerfile", 1))
			build := func(file string) harness.Output {
				return us.buildx(t, harness.WriteContext(t, map[string]string{
					"Dockerfile": "# syntax=" + ref + "\n" + file, "hello": "x",
				}), "--platform=linux/amd64,linux/arm64", "-o", filepath.Join(t.TempDir(), "out"))
			}
			build("FROM --platform=$BUILDPLATFORM old/base:1 AS a\nRUN --mount=type=cache,target=/c echo > /o\n" +
				"FROM busybox\nCOPY --from=a --chown=1:1 /o hello* /c/\nADD " + sites.files + "/file /f\n" +
				"ADD " + sites.git + "#" + sites.commit + " /g\nWORKDIR /w\nUSER app\n").RequireSuccess(t)
			build("FROM busybox\nCOPY --from=evil/base:1 /bin/sh /x\nUSER app\n").RequireFailure(t,
				"refuses the image evil/base:1", "requested by: line 3 of Dockerfile")
		})
	}
}
