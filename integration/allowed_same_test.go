package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// A build through the policy frontend has the same digests as one where the daemon calls
// docker/dockerfile itself.
func TestAllowedResultIsTheSame(t *testing.T) {
	t.Parallel()
	them, ours := direct(t), append(throughEach(t, ways()), guardedEach(t)...)

	build := func(t *testing.T, s side, dir string, args ...string) string {
		t.Helper()
		file := outFile(t)
		s.buildx(t, dir, append([]string{
			"--provenance=false", "--output", comparableOutput(file),
		}, args...)...).RequireSuccess(t)
		return file
	}

	for name, tc := range map[string]struct {
		dockerfile string
		files      map[string]string
		args       []string
		platforms  []string          // linux/amd64 if empty
		want       map[string]string // files in the image of each platform
	}{
		"one platform": {
			dockerfile: "FROM scratch\nCOPY hello /\nLABEL a=b\nENV C=d\n",
			files:      map[string]string{"hello": "hello\n"},
			want:       map[string]string{"hello": "hello\n"},
		},
		"two platforms": {
			dockerfile: "FROM busybox\nARG TARGETPLATFORM\nCOPY hello /\nLABEL platform=$TARGETPLATFORM\n",
			files:      map[string]string{"hello": "hello\n"},
			args:       []string{"--platform=linux/amd64,linux/arm64"},
			platforms:  []string{"linux/amd64", "linux/arm64"},
			want:       map[string]string{"hello": "hello\n"},
		},
		"another platform than the machine's": {
			dockerfile: "FROM busybox\nCOPY hello /\n",
			files:      map[string]string{"hello": "hello\n"},
			args:       []string{"--platform=linux/arm64"},
			platforms:  []string{"linux/arm64"},
			want:       map[string]string{"hello": "hello\n"},
		},
		"several stages with RUN": {
			dockerfile: "FROM busybox AS a\nRUN echo one > /one && mkdir /d && ln -s ../one /d/l\n" +
				"FROM a AS b\nRUN cat /d/l /one > /two\n" +
				"FROM busybox\nCOPY --from=a /d /d\nCOPY --from=b /two /\nRUN wc -l < /two > /three\n",
			want: map[string]string{"two": "one\none\n", "three": "2\n"},
		},
		"an image config of every kind": {
			dockerfile: "FROM busybox\nUSER nobody\nWORKDIR /w\nEXPOSE 80\nVOLUME /v\n" +
				"STOPSIGNAL SIGINT\nSHELL [\"/bin/sh\", \"-e\", \"-c\"]\n" +
				"HEALTHCHECK --interval=5s CMD true\nONBUILD RUN true\n" +
				"ENTRYPOINT [\"/bin/sh\"]\nCMD [\"-c\", \"true\"]\n",
		},
		"a target and build-args": {
			dockerfile: "FROM busybox AS first\nARG WHO\nRUN echo $WHO > /who\n" +
				"FROM first AS second\nRUN false\n",
			args: []string{"--target=first", "--build-arg=WHO=me"},
			want: map[string]string{"who": "me\n"},
		},
		"a .dockerignore": {
			dockerfile: "FROM scratch\nCOPY . /\n",
			files:      map[string]string{"kept": "1", "dropped": "2", ".dockerignore": "*\n!kept\n"},
			want:       map[string]string{"kept": "1"},
		},
		"labels and a build file elsewhere": {
			dockerfile: "FROM scratch\nRUN false\n",
			files: map[string]string{
				"sub/other": syntaxLine + "FROM scratch\nCOPY hello /\n",
				"hello":     "hello\n",
			},
			args: []string{"--file=sub/other", "--label=l=1"},
			want: map[string]string{"hello": "hello\n"},
		},
		"a named context that is an image for the base image": {
			dockerfile: "FROM base\nRUN echo ran > /out\n",
			args:       []string{"--build-context=base=docker-image://busybox"},
			want:       map[string]string{"out": "ran\n"},
		},
		"a named context over an image of the registry": {
			dockerfile: "FROM no/such/image:1\nRUN echo ran > /out\n",
			args:       []string{"--build-context=no/such/image:1=docker-image://busybox:latest"},
			want:       map[string]string{"out": "ran\n"},
		},
		"a named context that is a folder": {
			dockerfile: "FROM scratch\nCOPY --from=files hello /\n",
			files:      map[string]string{"more/hello": "from the folder\n", "hello": "from the context\n"},
			args:       []string{"--build-context=files=more"},
			want:       map[string]string{"hello": "from the folder\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := withSyntax(t, tc.dockerfile, tc.files)
			want := build(t, them, dir, tc.args...)
			images := registry.ReadOCI(t, want)
			platforms := tc.platforms
			if platforms == nil {
				platforms = []string{"linux/amd64"}
			}
			require.Len(t, images, len(platforms))
			for n, image := range images {
				require.Equal(t, platforms[n], image.Platform)
				for file, content := range tc.want {
					require.Equal(t, content, image.File(t, file))
				}
			}
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) {
					requireSameResult(t, want,
						build(t, us.side, dir, tc.args...))
				})
			}
		})
	}

	t.Run("and another build has other digests", func(t *testing.T) {
		t.Parallel()
		dir := withSyntax(t, "FROM busybox\nARG WHO\nRUN echo $WHO > /who\n", nil)
		me, you := build(t, ours[0].side, dir, "--build-arg=WHO=me"), build(t, them, dir,
			"--build-arg=WHO=you")
		require.NotEqual(t, layoutIndex(t, me), layoutIndex(t, you))
		a, b := registry.ReadOCI(t, me)[0], registry.ReadOCI(t, you)[0]
		require.NotEqual(t, a.ConfigDigest, b.ConfigDigest)
		require.NotEqual(t, a.Layers, b.Layers)
		require.Equal(t, a.Layers[0], b.Layers[0], "the base image is the same")
	})
}

// bakeFile has two targets: base, and the default target, which builds on base.
const bakeFile = `
variable "SYNTAX" {}
variable "INNER" { default = "" }

target "base" {
  context    = "base"
  args       = { BUILDKIT_SYNTAX = SYNTAX }
}

target "default" {
  contexts = { base = "target:base" }
  args     = { BUILDKIT_SYNTAX = trimspace("${SYNTAX} ${INNER}") }
}
`

func TestAllowedBakeTargetAsInput(t *testing.T) {
	t.Parallel()
	files := []struct{ name, dockerfile string }{
		{"FROM the target", "FROM base\nRUN cat /base /base > /out\n"},
		{
			"COPY from the target", "FROM busybox\nCOPY --from=base /base /out\n" +
				"RUN cat /out >> /out2 && cat /out /out2 > /out3 && mv /out3 /out\n",
		},
	}
	them, ours := direct(t), append(throughEach(t, ways()), guardedEach(t)...)
	for _, tc := range files {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := withSyntax(t, tc.dockerfile, map[string]string{
				"docker-bake.hcl": bakeFile,
				"base/Dockerfile": syntaxLine + "FROM busybox\nENV FROM_BASE=1\nRUN echo base > /base\n",
			})
			build := func(t *testing.T, s side) string {
				t.Helper()
				file := outFile(t)
				s.bake(t, dir, "--provenance=false", "--set=default.output="+comparableOutput(file)).
					RequireSuccess(t)
				return file
			}
			want := build(t, them)
			require.Equal(t, "base\nbase\n", registry.ReadOCI(t, want)[0].File(t, "out"))
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) { requireSameResult(t, want, build(t, us.side)) })
			}
		})
	}
}
