package survey

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const strict = `version: 1
dispatch: mediate
build:
  images: {allow: ["docker.io/library/**", "mirror.example/**"], deny: ["**/scratchpad"]}
  http: {allow: ["https://files.example/**"]}
  git: {allow: ["https://git.example/**"]}
  exec: {secrets: ["npm-*"]}
  local: {allow: [context, dockerfile]}
aliases:
  - {from: "docker/dockerfile-upstream", to: "corp.example/df"}
frontends:
  - match: ["docker/dockerfile", "corp.example/df"]
  - {match: ["corp.example/spec"]}
  - {match: ["corp.example/pinned"], digests: ["sha256:` + hex + `"]}
  - {match: ["corp.example/docker/dockerfile"], dispatch: builtin}
`

const hex = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func newSurvey(tb testing.TB, document string) *Survey {
	tb.Helper()
	p, err := policy.Parse("policy.yaml", []byte(document))
	require.NoError(tb, err)
	layers, err := policy.Stack(p, nil)
	require.NoError(tb, err)
	return &Survey{
		Layers: layers, Policies: []*policy.Policy{p},
		Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// dockerfile returns the build of a Dockerfile that begins with a syntax line.
func dockerfile(lines string) Build {
	return Build{
		File: "Dockerfile", Data: []byte("# syntax=docker/dockerfile:1\n" + lines),
		Options: map[string]string{"filename": "Dockerfile"},
	}
}

// short returns a finding as "line verdict kind target".
func short(r Result) []string {
	out := []string{}
	for _, f := range r.Findings {
		out = append(out, strings.TrimSpace(
			fmt.Sprintf("%d %s %s %s", f.Line, f.Verdict, f.Kind, f.Target)))
	}
	if r.Error != "" {
		out = append(out, fmt.Sprintf("%d error %s", r.Line, r.Error))
	}
	return out
}

func TestEachLineOfADockerfileGetsThePolicysAnswer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       []string
	}{
		{"an allowed base image has no finding", "FROM golang:1.22\n", nil},
		{
			"a refused base image is refused at its FROM", "\nFROM quay.io/a:1\n",
			[]string{"3 deny images"},
		},
		{"the default of an ARG is used", "ARG B=quay.io/a\nFROM ${B}\n", []string{"3 deny images"}},
		{"TARGETARCH and the like have values", "FROM mirror.example/a:$TARGETOS\n", nil},
		{
			"an image that a stage copies from is refused at its COPY",
			"FROM alpine\nCOPY --from=quay.io/a:1 /a /a\n",
			[]string{"3 deny images"},
		},
		{
			"an image that a RUN mounts is refused at its RUN",
			"FROM alpine\nRUN --mount=from=quay.io/a,target=/a ls\n",
			[]string{"3 deny images"},
		},
		{
			"a stage isn't an image", "FROM alpine AS a\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=0 /y /\n",
			nil,
		},
		{"an ADD of a URL", "FROM scratch\nADD https://evil.example/a /\n", []string{"3 deny http"}},
		{
			"an ADD of a URL in a variable",
			"FROM scratch\nARG HOST=evil.example\nADD https://${HOST}/a /\n",
			[]string{"4 deny http"},
		},
		{
			"an ADD of a git repository",
			"FROM scratch\nADD https://evil.example/a.git#main /\n",
			[]string{"3 deny git"},
		},
		{"an ADD of an allowed URL", "FROM scratch\nADD https://files.example/a /\n", nil},
		{"a secret", "FROM alpine\nRUN --mount=type=secret,id=aws true\n", []string{"3 deny exec"}},
		{"an allowed secret", "FROM alpine\nRUN --mount=type=secret,id=npm-a true\n", nil},
		{"ssh", "FROM alpine\nRUN --mount=type=ssh true\n", []string{"3 deny exec"}},
		{"the host's network", "FROM alpine\nRUN --network=host true\n", []string{"3 deny exec"}},
		{"no sandbox", "FROM alpine\nRUN --security=insecure true\n", []string{"3 deny exec"}},
		{"a device", "FROM alpine\nRUN --device=vendor.example/gpu true\n", []string{"3 deny exec"}},
		{
			"each refusal of one command",
			"FROM alpine\nRUN --network=host --mount=type=ssh --mount=type=secret,id=a true\n",
			[]string{"3 deny exec", "3 deny exec", "3 deny exec"},
		},
		{
			"a stage that no other uses is a target",
			"FROM alpine AS test\nRUN --network=host true\nFROM alpine\n",
			[]string{"3 deny exec test"},
		},
		{
			"a stage that only the other target uses",
			"FROM quay.io/a AS b\nFROM b AS test\nFROM alpine\n",
			[]string{"2 deny images test"},
		},
		{"a heredoc", "FROM alpine\nRUN --network=host <<EOT\ntrue\nEOT\n", []string{"3 deny exec"}},
		{"a line that goes on", "FROM \\\n quay.io/a\n", []string{"2 deny images"}},
		{
			"several files of one ADD",
			"FROM scratch\nADD https://evil.example/a https://worse.example/b /x/\n",
			[]string{"3 deny http", "3 deny http"},
		},
		{
			"ONBUILD instructions of a stage that is built on",
			"FROM alpine AS a\nONBUILD RUN --network=host true\nFROM a\n",
			[]string{"4 deny exec"},
		},
		{
			"an ARG without a default leaves the base image unknown",
			"ARG B\nFROM ${B}\nRUN --network=host true\n",
			[]string{"3 undecidable file"},
		},
		{
			"a tag that a build-arg has to complete",
			"ARG V\nFROM golang:${V}\n",
			[]string{"3 undecidable file"},
		},
		{
			"a variable that only the base image can set",
			"FROM alpine\nADD https://${HOST}/a /\n",
			[]string{"3 undecidable http"},
		},
		{
			"an ARG without a default in a URL",
			"FROM alpine\nARG V\nADD https://files.example/${V} /\n",
			[]string{"4 undecidable http"},
		},
		{
			"a variable that is made of it",
			"FROM alpine\nARG V\nENV U=https://files.example/$V\nADD $U /\n",
			[]string{"5 undecidable http"},
		},
		{
			"an ARG whose default is above the stages",
			"ARG V=1\nFROM alpine\nARG V\nADD https://files.example/${V} /\n", nil,
		},
		{
			"an ARG that the frontend sets",
			"FROM alpine\nARG TARGETARCH\nADD https://files.example/${TARGETARCH} /\n", nil,
		},
		{
			"a comment can't silence that",
			"# check=skip=all\nFROM alpine\nADD https://files.example/${X} /\n",
			[]string{"4 undecidable http"},
		},
		{
			"nor can a comment at the line",
			"FROM alpine\n# check=skip=UndefinedVar\nADD https://files.example/${X} /\n",
			[]string{"4 undecidable http"},
		},
		{
			"a file that is no Dockerfile", "FROM alpine\nFORM alpine\n",
			[]string{"3 error dockerfile parse error on line 3: unknown instruction: FORM (did you mean FROM?)"},
		},
		{"a file without a stage", "ARG a\n", []string{"0 error dockerfile contains no stages to build"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := newSurvey(t, strict).Check(t.Context(), dockerfile(tt.file))
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, short(got), "%+v", got.Findings)
		})
	}
}

func TestTheFrontendIsDecidedAsInABuild(t *testing.T) {
	t.Parallel()
	const self = "registry.example/policy-frontend:1"
	tests := []struct {
		name, file string
		options    map[string]string
		want       []string
	}{
		{
			"a frontend that no rule allows", "# syntax=quay.io/a\nFROM quay.io/b\n", nil,
			[]string{"1 deny frontend"},
		},
		{"no frontend at all", "FROM alpine\n", nil, []string{"1 deny frontend"}},
		{
			"BUILDKIT_SYNTAX counts more than the line", "# syntax=quay.io/a\nFROM alpine\n",
			map[string]string{"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1"},
			nil,
		},
		{
			"the policy frontend's own name is skipped in the line",
			"# syntax=" + self + " docker/dockerfile:1\nFROM quay.io/a\n",
			map[string]string{"source": self},
			[]string{"2 deny images"},
		},
		{
			"the policy frontend's own name is skipped in BUILDKIT_SYNTAX",
			"# syntax=docker/dockerfile:1\nFROM quay.io/a\n",
			map[string]string{"source": self, "build-arg:BUILDKIT_SYNTAX": self},
			[]string{"2 deny images"},
		},
		{
			"dockerfile.v0 stands for docker/dockerfile:1", "# syntax=quay.io/a\nFROM quay.io/a\n",
			map[string]string{"source": self, "build-arg:BUILDKIT_SYNTAX": self + " dockerfile.v0"},
			[]string{"2 deny images"},
		},
		{
			"a name that is no reference", "# syntax=docker/DOCKERFILE:1\nFROM a\n", nil,
			[]string{"1 deny frontend"},
		},
		{
			"an alias of docker/dockerfile reads Dockerfiles, whatever its name is",
			"# syntax=docker/dockerfile-upstream:1\nFROM quay.io/a\n", nil,
			[]string{"2 deny images"},
		},
		{
			"what another frontend builds is unknown", "# syntax=corp.example/spec:1\nx: y\n", nil,
			[]string{"1 undecidable frontend"},
		},
		{
			"a rule on the digest of a tag needs the registry", "# syntax=corp.example/pinned:1\n", nil,
			[]string{"1 undecidable frontend"},
		},
		{
			"the limits of dispatch: builtin", "# syntax=corp.example/docker/dockerfile:9.1\nFROM a\n", nil,
			[]string{"1 deny frontend"},
		},
		{
			"the built-in frontend checks operations", "# syntax=corp.example/docker/dockerfile:1\nFROM quay.io/a\n",
			nil,
			[]string{"2 deny images"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := Build{File: "Dockerfile", Data: []byte(tt.file), Options: map[string]string{
				"filename": "Dockerfile",
			}}
			for k, v := range tt.options {
				b.Options[k] = v
			}
			got := newSurvey(t, strict).Check(t.Context(), b)
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, short(got), "%+v", got.Findings)
		})
	}
}

func TestOptionsReachTheFrontend(t *testing.T) {
	t.Parallel()
	const two = "ARG B=alpine\nFROM ${B} AS a\nFROM quay.io/b AS b\n"
	tests := []struct {
		name, key, value, file string
		inputs                 []string
		want                   []string
	}{
		{name: "a target", key: "target", value: "a", file: two},
		{
			name: "a target that isn't there", key: "target", value: "c", file: two,
			want: []string{`0 error target stage "c" could not be found (did you mean a?)`},
		},
		{
			name: "a build-arg", key: "build-arg:B", value: "quay.io/c", file: "ARG B=alpine\nFROM $B\n",
			want: []string{"3 deny images"},
		},
		{
			name: "the network of all commands", key: "force-network-mode", value: "host",
			file: "FROM alpine\nRUN true\n", want: []string{"3 deny exec"},
		},
		{
			name: "extra hosts", key: "add-hosts", value: "a=10.0.0.1", file: "FROM alpine\nRUN true\n",
			want: []string{"3 deny exec"},
		},
		{
			name: "a named context that is an image", key: "context:base", value: "docker-image://quay.io/a",
			file: "FROM base\n", want: []string{"0 deny images"},
		},
		{
			name: "a named context that is a directory", key: "context:base", value: "local:base",
			file: "FROM base\n", want: []string{"0 deny local"},
		},
		{
			name: "a named context that is another build", key: "context:base", value: "input:base",
			inputs: []string{"base"}, file: "FROM base\nRUN --network=host true\n",
			want: []string{"3 deny exec"},
		},
		{
			name: "a scanner for an SBOM", key: "attest:sbom", value: "generator=quay.io/scan",
			file: "FROM alpine\n", want: []string{"0 deny images"},
		},
		{
			name: "each platform", key: "platform", value: "linux/amd64,linux/arm64",
			file: "FROM alpine AS b-amd64\nFROM quay.io/a AS b-arm64\nFROM b-$TARGETARCH\n",
			want: []string{"3 deny images"},
		},
		{
			name: "an option that can't be read", key: "ulimit", value: "nofile", file: "FROM alpine\n",
			want: []string{"0 error failed to parse ulimit: invalid ulimit argument: nofile"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := dockerfile(tt.file)
			b.Options[tt.key], b.Inputs = tt.value, tt.inputs
			got := newSurvey(t, strict).Check(t.Context(), b)
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, short(got), "%+v", got.Findings)
		})
	}
}

func TestWhatABaseImageMaySetIsUnknown(t *testing.T) {
	t.Parallel()
	const file = "FROM alpine\n"
	tests := []struct {
		name, config, file string
		want               []string
	}{
		{"an inherited user may be root", "user: {forbid: [root]}", file, []string{"2 undecidable config"}},
		{
			"an inherited user may be the required one", "user: {require: [app]}", file,
			[]string{"2 undecidable config"},
		},
		{
			"the same answer for each platform is there once", "user: {forbid: [root]}",
			"FROM scratch\nUSER 0\n",
			[]string{"3 deny config"},
		},
		{
			"root, written in the file", "user: {forbid: [root]}", file + "USER 0:0\n",
			[]string{"3 deny config"},
		},
		{"a user that is written in the file", "user: {forbid: [root]}", file + "USER app\n", nil},
		{"a user of an earlier stage", "user: {forbid: [root]}", "FROM alpine AS a\nUSER app\nFROM a\n", nil},
		{"an empty base has no user", "user: {forbid: [root]}", "FROM scratch\n", []string{"2 deny config"}},
		{
			"a stage inherits what its base image may set", "user: {forbid: [root]}",
			"FROM alpine AS a\nFROM a AS b\nFROM b\n",
			[]string{"4 undecidable config"},
		},
		{"a required label may be inherited", "labels: {require: [a]}", file, []string{"2 undecidable config"}},
		{"a required label that is set", "labels: {require: [a]}", file + "LABEL a=b\n", nil},
		{
			"a base may have a command", "results: runnable, user: {forbid: [root]}", file,
			[]string{"2 undecidable config"},
		},
		{
			"a command of the file", "results: runnable, user: {forbid: [root]}",
			"FROM scratch\nCMD [\"/a\"]\n",
			[]string{"2 deny config"},
		},
		{
			"an empty base has no command", "results: runnable, user: {forbid: [root]}",
			"FROM scratch AS b\nCOPY a /\n", nil,
		},
		{
			"a target that is excepted, and the default one", "exceptTargets: [t], user: {forbid: [root]}",
			"FROM scratch AS t\nFROM scratch AS u\n",
			[]string{"3 deny config"},
		},
		{
			"a target that is chosen, and the default one", "targets: [T], user: {forbid: [root]}",
			"FROM scratch AS s\nFROM scratch AS t\nFROM scratch AS u\n",
			[]string{"4 deny config", "3 deny config t"},
		},
		{
			"the words of a set", "sets: [{labels: {require: [a]}}], mode: enforce", file,
			[]string{"2 undecidable config"},
		},
		{
			"the words of rules that only warn", "labels: {require: [a]}, mode: warn", file,
			[]string{"2 undecidable config"},
		},
		{"an empty base has no label", "labels: {require: [a]}", "FROM scratch\n", []string{"2 deny config"}},
		{"a forbidden label may be inherited", "labels: {forbid: [a]}", file, []string{"2 undecidable config"}},
		{
			"a forbidden label that is set", "labels: {forbid: [a]}", file + "LABEL a=b\n",
			[]string{"2 deny config"},
		},
		{
			"a forbidden variable may be inherited", "env: {forbid: [HTTP_*]}", file,
			[]string{"2 undecidable config"},
		},
		{
			"a forbidden port that is exposed", "ports: {forbid: [\"22\"]}", file + "EXPOSE 22\n",
			[]string{"2 deny config"},
		},
		{
			"a stage that is only used needs no user", "user: {forbid: [root]}",
			"FROM alpine AS a\nUSER 0\nFROM scratch\nUSER app\nCOPY --from=a /x /\n", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSurvey(t, "version: 1\nbuild: {config: {"+tt.config+"}}\n"+
				"frontends: [{match: [docker/dockerfile]}]\n")
			b := dockerfile(tt.file)
			if strings.Contains(tt.name, "each platform") {
				b.Options["platform"] = "linux/amd64,linux/arm64"
			}
			got := s.Check(t.Context(), b)
			if tt.want == nil {
				tt.want = []string{}
			}
			require.Equal(t, tt.want, short(got), "%+v", got.Findings)
		})
	}
}

func TestImagesThatABuildLooksUpAreNamed(t *testing.T) {
	t.Parallel()
	got := newSurvey(t, strict).Check(t.Context(), dockerfile(
		"FROM golang:1 AS a\nFROM alpine AS b\nCOPY --from=a /x /\nFROM b\nCOPY --from=mirror.example/c /x /\n"))
	require.ElementsMatch(t, []string{
		"docker.io/library/golang:1", "docker.io/library/alpine:latest", "mirror.example/c:latest",
	}, got.Images)
}

func TestWarningsAreFindings(t *testing.T) {
	t.Parallel()
	s := newSurvey(t, `version: 1
mode: warn
build: {images: {deny: ["quay.io/**"]}}
frontends: [{name: old, match: [docker/dockerfile], warnAfter: 2020-01-01}]
`)
	got := s.Check(t.Context(), dockerfile("FROM quay.io/a\n"))
	require.Equal(t, []string{"1 warn frontend", "2 warn images"}, short(got))
	require.Equal(t, policy.Warn, got.Verdict)
}

func TestAForwardedFrontendReadsUnchecked(t *testing.T) {
	t.Parallel()
	for dispatch, want := range map[string][]string{
		"forward": {}, "mediate": {"0 deny local"},
	} {
		s := newSurvey(t, "version: 1\ndispatch: "+dispatch+"\nbuild: {local: {deny: [dockerfile]}}\n"+
			"frontends: [{match: [docker/dockerfile]}]\n")
		require.Equal(t, want, short(s.Check(t.Context(), dockerfile("FROM alpine\n"))), dispatch)
	}
}

func TestAHostileFileEndsItsOwnCheckOnly(t *testing.T) {
	t.Parallel()
	t.Run("variables that expand without end", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch\nENV A=xxxxxxxx\n" + strings.Repeat("ENV A=$A$A\n", 60)
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{"0 error its variables expand to more than 16 MiB"}, short(got))
	})
	t.Run("ONBUILD instructions that expand without end", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch AS a\nONBUILD ENV A=xxxxxxxx\n" +
			strings.Repeat("ONBUILD ENV A=$A$A\n", 60) + "FROM a\n"
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{"0 error its variables expand to more than 16 MiB"}, short(got))
	})
	t.Run("a path that grows in each stage is fine", func(t *testing.T) {
		t.Parallel()
		lines := "FROM alpine\n" + strings.Repeat("ENV PATH=/opt/tool/bin:$PATH\n", 100)
		require.Empty(t, short(newSurvey(t, strict).Check(t.Context(), dockerfile(lines))))
	})
	t.Run("replacements that multiply", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch\nENV A=" + strings.Repeat("x", 5000) + "\nENV B=${A//x/$A}\n"
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{"0 error its variables expand to more than 16 MiB"}, short(got))
	})
	t.Run("a line that uses a long value often", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch\nARG A=" + strings.Repeat("x", 60_000) + "\nCOPY " +
			strings.Repeat("$A", 1000) + " /\n"
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{"0 error its variables expand to more than 16 MiB"}, short(got))
	})
	t.Run("a heredoc that uses a long value often", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch\nARG A=" + strings.Repeat("x", 60_000) + "\nCOPY <<EOT /a\n" +
			strings.Repeat("$A\n", 1000) + "EOT\n"
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{"0 error its variables expand to more than 16 MiB"}, short(got))
	})
	t.Run("stages that all build on a large one", func(t *testing.T) {
		t.Parallel()
		lines := "FROM scratch AS a\n" + strings.Repeat("ONBUILD ENV A=b\n", 1000) +
			strings.Repeat("FROM a\n", 1000)
		got := newSurvey(t, strict).Check(t.Context(), dockerfile(lines))
		require.Equal(t, []string{
			"0 error its stages have more than 100000 instructions and variables",
		}, short(got))
	})
	t.Run("a file with many targets, after the deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b := dockerfile("FROM scratch AS a\nFROM scratch AS b\n")
		got := convert(ctx, b, b.Options)
		require.Equal(t, "context canceled", got.problem.message)
		require.Empty(t, got.targets)
	})
	t.Run("a panic of the converter", func(t *testing.T) {
		t.Parallel()
		s := newSurvey(t, strict)
		s.convert = func(context.Context, Build, map[string]string) converted { panic("index") }
		got := s.Check(t.Context(), dockerfile("FROM alpine\n"))
		require.Equal(t, []string{"0 error internal: the check stopped: index"}, short(got))
	})
	t.Run("a converter that doesn't end", func(t *testing.T) {
		t.Parallel()
		s := newSurvey(t, strict)
		s.timeout = 10 * time.Millisecond
		forever := make(chan converted)
		s.convert = func(context.Context, Build, map[string]string) converted { return <-forever }
		got := s.Check(t.Context(), dockerfile("FROM alpine\n"))
		require.Equal(t, []string{"0 error the check took longer than 10ms"}, short(got))
	})
}

func TestABuildThatAFileDescribesHasOneTarget(t *testing.T) {
	t.Parallel()
	b := dockerfile("FROM quay.io/a AS a\nFROM alpine\n")
	require.Equal(t, []string{"2 deny images a"}, short(newSurvey(t, strict).Check(t.Context(), b)))
	b.Origin = `service "a" of compose.yaml`
	require.Empty(t, short(newSurvey(t, strict).Check(t.Context(), b)))
}

func TestLinesOfAFileWithinAnother(t *testing.T) {
	t.Parallel()
	b := dockerfile("FROM quay.io/a\n")
	b.File, b.FirstLine, b.Origin = "compose.yaml", 10, `service "a" of compose.yaml`
	got := newSurvey(t, strict).Check(t.Context(), b)
	require.Equal(t, []string{"11 deny images"}, short(got))
	require.Equal(t, "compose.yaml", got.Findings[0].File)
	require.Equal(t, b.Origin, got.Findings[0].Build)
}

func FuzzCheckEndsAndAllowsNoOtherImage(f *testing.F) {
	f.Add("FROM alpine\nRUN true\n")
	f.Add("ARG A=b\nFROM ${A} AS c\nCOPY --from=c /a /b\nADD https://a.example/b /\n")
	f.Add("FROM scratch\nRUN <<EOT\na\nEOT\nENV A=$A$A\n")
	s := newSurvey(f, `version: 1
build: {images: {allow: [none.example/none]}}
frontends: [{match: [docker/dockerfile]}]
`)
	f.Fuzz(func(t *testing.T, file string) {
		got := s.Check(t.Context(), dockerfile(file))
		require.NotContains(t, got.Error, "internal:")
		for _, found := range got.Findings {
			if found.Kind == "images" && found.Image != "none.example/none:latest" {
				require.Equal(t, policy.Deny, found.Verdict)
			}
		}
	})
}

// BenchmarkCheck checks a Dockerfile with three stages. Companies have hundreds like it.
func BenchmarkCheck(b *testing.B) {
	s := newSurvey(b, strict)
	build := dockerfile(`ARG GO=1.22
FROM golang:${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache go mod download
COPY . .
RUN --mount=type=secret,id=npm-token CGO_ENABLED=0 go build -o /out/app ./cmd/app
FROM build AS test
RUN go test ./...
FROM mirror.example/base:1
COPY --from=build /out/app /usr/bin/app
USER app
ENTRYPOINT ["/usr/bin/app"]
`)
	for b.Loop() {
		if r := s.Check(b.Context(), build); r.Verdict != policy.Allow {
			b.Fatal(r.Findings)
		}
	}
}
