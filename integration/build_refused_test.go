package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestCheckedBuildsAreRefusedAtTheirLine(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o600))
	cases := map[string]struct {
		file string // follows the syntax line, which is line 1
		args []string
		want string
		// line is the line that the message names, or 0 if it names none.
		//
		// lookup replaces line for mediate and builtin, which refuse the frontend's earlier lookup. It is
		// 0 if the line is the same.
		line, lookup int
	}{
		"a base image": {
			file: "FROM evil/base:1\nUSER app\n",
			line: 2,
			want: "the image evil/base:1",
		},
		"a base image behind ARG": {
			file: "ARG BASE=good/base:1\nFROM $BASE\nUSER app\n",
			args: []string{"--build-arg=BASE=evil/base:1"},
			line: 3,
			want: "the image evil/base:1",
		},
		"the base image of another stage": {
			file: "FROM busybox AS a\nFROM evil/base:1 AS b\nRUN touch /x\n" +
				"FROM busybox\nCOPY --from=b /x /\nUSER app\n",
			line: 3,
			want: "the image evil/base:1",
		},
		"COPY --from": {
			file: "FROM busybox\nRUN true\nCOPY --from=evil/base:1 /bin/sh /x\nUSER app\n",
			line: 4,
			want: "the image evil/base:1",
		},
		"RUN --mount from": {
			file: "FROM busybox\nRUN --mount=from=evil/base:1,target=/m ls /m\nUSER app\n",
			line: 3,
			want: "the image evil/base:1",
		},
		"a named context": {
			file:   "FROM base\nRUN true\nUSER app\n",
			args:   []string{"--build-context=base=docker-image://evil/base:1"},
			line:   3,
			lookup: 2,
			want:   "the image evil/base:1",
		},
		"a named context over an allowed image": {
			file:   "FROM good/base:1\nUSER app\n",
			args:   []string{"--build-context=good/base:1=docker-image://evil/base:1"},
			lookup: 2,
			want:   "the image evil/base:1",
		},
		"one of two platforms": {
			file: "ARG TARGETARCH\nFROM plat/${TARGETARCH}:1\nUSER app\n",
			args: []string{"--platform=linux/amd64,linux/arm64"},
			line: 3,
			want: "the image plat/arm64:1",
		},
		"ADD by http": {
			file: "FROM busybox\nADD " + sites.evilFiles + "/file /\nUSER app\n",
			line: 3,
			want: "the download " + sites.evilFiles + "/file",
		},
		"ADD by git": {
			file: "FROM busybox\nADD " + sites.evilGit + " /src\nUSER app\n",
			line: 3,
			want: "the git repository",
		},
		"a named context by git": {
			file: "FROM busybox\nCOPY --from=src file /\nUSER app\n",
			args: []string{"--build-context=src=" + sites.evilGit},
			line: 3,
			want: "the git repository",
		},
		"a secret": {
			file: "FROM busybox\nRUN --mount=type=secret,id=aws true\nUSER app\n",
			args: []string{"--secret=id=aws,src=" + secret},
			line: 3,
			want: `aws`,
		},
		"the user of the image": {file: "FROM busybox\n", want: "user"},
	}
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				line := tc.line
				if tc.lookup != 0 && by != policy.DispatchForward {
					line = tc.lookup
				}
				dir := withSyntax(t, tc.file, nil)
				out := filepath.Join(t.TempDir(), "out")
				o := us.buildx(t, dir, append([]string{"-o", out}, tc.args...)...)
				o.RequireFailure(t, "frontend docker/dockerfile:1 is refused: ", tc.want,
					"rule:         dockerfile", "policy:       corp-ci sha256:", "contact:      #build-help")
				require.NoDirExists(t, out, "something was exported")
				if line == 0 {
					o.RequireFailure(t, "requested by: the frontend, which names no line")
					return
				}
				lines := strings.Split(syntaxLine+tc.file, "\n")
				o.RequireFailure(t, fmt.Sprintf("requested by: line %d of Dockerfile", line),
					fmt.Sprintf("%4d | >>> %s", line, lines[line-1]))
			})
		}
	})
	t.Cleanup(func() {
		// Only its layers count. A forwarded frontend looks images up by itself, so it pulls the
		// configuration.
		for _, image := range env.Registry.ReadImage(t, env.Registry.Ref(evilBase)) {
			for _, layer := range image.Layers {
				require.NotContains(t, env.Registry.BlobsPulled("evil/base"), layer, "the image was pulled")
			}
		}
	})
}

// Frontends carry programs in their own image, and copy or mount them into what they build.
func TestAFrontendBuildsOnItsOwnImage(t *testing.T) {
	t.Parallel()
	yaml := env.Frontend(t, harness.YAMLFrontend)
	const doc = `version: 1
id: corp-ci
build: {images: {allow: [busybox], requireDigest: true}}
frontends: [{match: [frontends/yamlfrontend]}]
dispatch: `
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=" + yaml + "\nown: /yamlfrontend\n",
	})
	for _, by := range []policy.Dispatch{policy.DispatchForward, policy.DispatchMediate} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			us := under(t, doc+string(by)+"\n")
			us.buildx(t, dir, "-o", out).RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "own"))

			denied := strings.Replace(doc, "allow: [busybox]", `allow: [busybox], deny: ["frontends/**"]`, 1)
			us = under(t, denied+string(by)+"\n")
			us.buildx(t, dir, "-o", out).RequireFailure(t, "refuses the image frontends/yamlfrontend:1",
				"build.images.deny")
		})
	}
}

// yamlfrontend looks its base image up, and names no line for it.
func TestAFrontendThatNamesNoLineIsRefusedAtTheOnlyOne(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	yaml := env.Frontend(t, harness.YAMLFrontend)
	for _, by := range []policy.Dispatch{policy.DispatchForward, policy.DispatchMediate} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			doc := strings.Replace(sites.policy("dispatch: "+string(by)), "docker/dockerfile",
				harness.YAMLFrontend.Repository(), 1)
			us := under(t, doc)
			for file, want := range map[string]string{
				"files: {/x: x}\nbase: " + evilBase + "\n":                  "line 3 of Dockerfile, the only one",
				"base: " + evilBase + "\nfiles: {/x: '" + evilBase + "'}\n": "which names no line",
			} {
				dir := harness.WriteContext(t, map[string]string{
					"Dockerfile": "# syntax=" + yaml + "\n" + file,
				})
				o := us.buildx(t, dir, "-o", filepath.Join(t.TempDir(), "out"))
				o.RequireFailure(t, "the image evil/base:1", want)
			}
		})
	}
}

func TestAClientsSourcePolicyIsHeldToWhatWasJudged(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	pinned := "docker-image://docker.io/library/busybox:latest@" + digestOf(t,
		"library/busybox:latest")
	cases := map[string]struct {
		file, from, to string
		before         []string // earlier rules
		want           string   // empty if the build succeeds
		lookup         string   // replaces want if the daemon refuses the frontend's lookup
	}{
		"a base image that is converted to a refused one": {
			file:   "FROM busybox\nUSER app\n",
			from:   "docker-image://docker.io/library/busybox*",
			to:     "docker-image://docker.io/" + evilBase,
			want:   "the image evil/base:1",
			lookup: "denied by policy",
		},
		"a base image that is converted behind the resolve": {
			file: "FROM busybox\nUSER app\n",
			from: "docker-image://docker.io/library/busybox:latest@*",
			to:   "docker-image://docker.io/" + evilBase,
			want: "denied by policy",
		},
		"a base image that is converted to an allowed one": {
			file: "FROM busybox\nRUN true\nUSER app\n",
			from: pinned,
			to:   "docker-image://docker.io/" + goodBase,
			want: "denied by policy",
		},
		"an image that the policy converted, converted back": {
			file: "FROM old/base:1\nUSER app\n",
			from: "docker-image://docker.io/good/base*",
			to:   "docker-image://docker.io/" + evilBase,
			want: "denied by policy",
		},
		"a base image that is pinned to the digest that it has": {
			file: "FROM busybox\nRUN true\nUSER app\n",
			from: "docker-image://docker.io/library/busybox:latest",
			to:   pinned,
		},
		"a download that is converted": {
			file: "FROM busybox\nADD " + sites.files + "/file /\nUSER app\n",
			from: sites.files + "/file",
			to:   sites.evilFiles + "/file",
			want: "denied by policy",
		},
		"a base image that is converted after rules like ours": {
			file:   "FROM busybox\nRUN true\nUSER app\n",
			before: []string{ruleThatIsKept("REGEX", "^docker-image://")},
			from:   pinned,
			to:     "docker-image://docker.io/" + evilBase,
			want:   "denied by policy",
		},
		"a git repository that is converted": {
			file: "FROM busybox\nADD " + sites.git + "#" + sites.commit + " /\nUSER app\n",
			from: "git://*",
			to:   strings.Replace(sites.evilGit, "http://", "git://", 1),
			want: "denied by policy",
		},
	}
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		for name, tc := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				out := filepath.Join(t.TempDir(), "out")
				c := us.BuildxCommand(withSyntax(t, tc.file, nil), byBuildx(us.syntax, "-o", out)...)
				c.Env = []string{sourcePolicy(t, append(tc.before, convertRule(tc.from, tc.to))...)}
				o := us.Run(t, c)
				if tc.want == "" {
					o.RequireSuccess(t)
					require.DirExists(t, out)
					return
				}
				want := tc.want
				if tc.lookup != "" && by != policy.DispatchForward {
					want = tc.lookup
				}
				o.RequireFailure(t, want)
				require.NoDirExists(t, out, "something was exported")
			})
		}
	})
}

func TestCheckedBuildsThatWouldBeRefusedGetAWarning(t *testing.T) {
	t.Parallel()
	newBuildSites(t).eachJudge(t, "mode: warn", func(t *testing.T, us side, _ policy.Dispatch) {
		dir := withSyntax(t, "FROM plat/arm64:1\nRUN true\nUSER app\n", nil)
		metadata := filepath.Join(t.TempDir(), "metadata.json")
		out := filepath.Join(t.TempDir(), "out")
		us.buildx(t, dir, "-o", out, "--metadata-file", metadata).RequireSuccess(t)
		require.DirExists(t, out)
		var decision string
		require.NoError(t, json.Unmarshal(harness.ReadMetadata(t, metadata)["frontend.policy.decision"],
			&decision))
		require.Contains(t, decision, `"verdict":"warn"`)
		require.Contains(t, decision, "would be refused: ")
		require.Contains(t, decision, "the image plat/arm64:1")
	})
}
