package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

const judgedPolicy = `version: 1
id: corp
contact: "#help"
dispatch: mediate
build:
  exec: {secrets: ["npm-*"]}
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    build:
      images: {allow: ["mirror.example/**"], convert: [{from: "docker.io/library/**", to: "mirror.example/hub/**"}]}
  - name: pinned
    match: [docker/pinned]
    digests: ["` + digestA + `"]
`

const judgedOperations = `- image: busybox
- image: quay.io/x
- exec: {network: host}
`

// message encodes fields of a protobuf message: a number, and a text, bytes or int.
func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		n := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
		case string:
			b = protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
		}
	}
	return b
}

// exampleLLB is what a Dockerfile becomes whose line 3 is FROM busybox, twice, in the
// form of solver/pb/ops.proto.
func exampleLLB() []byte {
	op := message(3, message(1, "docker-image://docker.io/library/busybox:latest"))
	line := message(1, 3)
	info := message(1, "Dockerfile", 2, "#\n#\nFROM busybox\n")
	places := message(1, digest.FromBytes(op).String(), 2,
		message(1, message(2, message(1, line, 2, line))))
	return message(1, op, 1, op, 3, message(1, places, 2, info))
}

func TestEvalSaysWhatOfABuildPasses(t *testing.T) {
	t.Parallel()
	file, operations := write(t, "policy.yaml", judgedPolicy),
		write(t, "operations.yaml", judgedOperations)
	llb := write(t, "build.llb", string(exampleLLB()))
	code, stdout, stderr := run("eval", "--policy", file, "--build", operations, "--llb", llb,
		"docker/dockerfile:1")
	require.Equal(t, exitDeny, code)
	require.Empty(t, stderr)
	require.Equal(t,
		`frontend docker/dockerfile:1 is allowed: rule "dockerfile" allows docker/dockerfile:1
  image:        docker.io/docker/dockerfile:1
  rule:         dockerfile
  policy:       corp `+digest.FromString(judgedPolicy).String()+`
  dispatch:     mediate
  builds:       under the policy's rules on images and exec
1. the image busybox (line 1) is allowed
  image:        mirror.example/hub/busybox:latest
2. the image quay.io/x (line 2) is refused: rule "dockerfile" refuses the image quay.io/x:latest: it allows only mirror.example/** (build.images.allow)
  rule:         dockerfile
  allowed:      mirror.example/**
  contact:      #help
3. a command with the network host (line 3) is refused: the policy refuses a command with the network host: it allows only none or default (build.exec.networks)
  rule:         build
  contact:      #help
the image docker.io/library/busybox:latest (line 3 of Dockerfile) is allowed
  image:        mirror.example/hub/busybox:latest
`, stdout)

	_, explained, _ := run("explain", "--policy", file, "--build", operations, "--llb", llb,
		"docker/dockerfile:1")
	steps, decision, ok := strings.Cut(explained, "frontend docker/dockerfile:1 is allowed")
	require.True(t, ok)
	const compared = "  matched:      build.images.convert: docker.io/library/busybox becomes " +
		"mirror.example/hub/busybox\n"
	require.Contains(t, decision, compared)
	require.Contains(t, decision, "  missed:       build.images.allow: mirror.example/**: "+
		"the host is quay.io, and not mirror.example\n")
	decision = regexp.MustCompile(`(?m)^  (matched|missed): .*\n`).ReplaceAllString(decision, "")
	require.Equal(t, stdout, "frontend docker/dockerfile:1 is allowed"+decision,
		"explain ends as eval does")
	require.Contains(t, steps, "its builds are bound by rules on images and exec")
	require.Contains(t, steps, "dispatch: mediate")
}

func TestEvalJSONHasFactsOnlyIfTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	file, operations := write(t, "policy.yaml", judgedPolicy),
		write(t, "operations.yaml", judgedOperations)
	type output struct {
		policy.Decision
		Build    *[]opcheck.Answer `json:"build"`
		Steps    []policy.Step     `json:"steps"`
		Explains policy.Decision   `json:"decision"`
	}
	ask := func(args ...string) (o output) {
		_, stdout, stderr := run(
			append(args, "--policy", file, "--format", "json", "docker/dockerfile:1")...)
		require.NoError(t, json.Unmarshal([]byte(stdout), &o), stderr)
		return o
	}
	require.Nil(t, ask("eval").Build)
	require.Nil(t, ask("explain").Build)

	eval := ask("eval", "--build", operations)
	require.Equal(t, policy.Allow, eval.Verdict, "the decision stays what a build's metadata has")
	require.Len(t, *eval.Build, 3)
	require.Equal(t,
		opcheck.Answer{
			Verdict: policy.Allow, Asked: "the image busybox", Index: 1, Line: 1, Messages: []string{},
			Image: "mirror.example/hub/busybox:latest",
		}, (*eval.Build)[0])
	require.Equal(t, []string{"deny", "dockerfile", "mirror.example/**"},
		[]string{string((*eval.Build)[1].Verdict), (*eval.Build)[1].Rule, (*eval.Build)[1].Allowed[0]})

	explain := ask("explain", "--build", operations)
	require.Len(t, (*explain.Build)[0].Steps, 2)
	for i := range *explain.Build {
		(*explain.Build)[i].Steps = nil
	}
	require.Equal(t, eval.Build, explain.Build)
	require.Equal(t, policy.Allow, explain.Explains.Verdict)
	require.NotEmpty(t, explain.Steps)
}

func TestEachOperationIsAnsweredByItself(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", judgedPolicy)
	operations := write(t, "operations.yaml",
		"- image: busybox\n\n- image: busybox\n- http: {url: \"https://u1@a.example/x\"}\n"+
			"- http: {url: \"https://u2@a.example/x\"}\n")
	for _, command := range []string{"eval", "explain"} {
		code, stdout, _ := run(command, "--policy", file, "--build", operations, "--format", "json",
			"docker/dockerfile:1")
		require.Equal(t, exitOK, code)
		var out struct{ Build []struct{ Index, Line int } }
		require.NoError(t, json.Unmarshal([]byte(stdout), &out))
		require.Equal(t, []struct{ Index, Line int }{{1, 1}, {2, 3}, {3, 4}, {4, 5}}, out.Build)
	}
}

// A configuration is of the target that the request names, unless it says its own.
func TestConfigurationsAreOfTheRequestsTarget(t *testing.T) {
	t.Parallel()
	policy := "version: 1\nbuild: {config: [{exceptTargets: [base], user: {forbid: [root]}}]}\n" +
		"frontends: [{name: d, match: [docker/dockerfile]}]\n"
	file := write(t, "policy.yaml", policy)
	operations := write(t, "operations.yaml", "- config: {user: root, cmd: [sh]}\n")
	for target, want := range map[string]int{"base": exitOK, "app": exitDeny, "0": exitDeny} {
		for _, command := range []string{"eval", "explain"} {
			code, stdout, _ := run(command, "--policy", file, "--build", operations, "--opt",
				"target="+target, "docker/dockerfile:1")
			require.Equal(t, want, code, stdout)
			require.Contains(t, stdout, "an image of the target "+target+" with the user root, a command")
		}
	}
	const suite = `policy: policy.yaml
cases:
- name: targets
  request: docker/dockerfile:1
  options: {target: base}
  expect: {verdict: allow}
  build:
  - config: {user: root}
  - config: {user: root, target: app}
    expect: {verdict: deny, reason: root}
`
	dir := suiteFolderOf(t, map[string]string{"policy.yaml": policy, "a.test.yaml": suite})
	code, stdout, _ := run("test", dir)
	require.Equal(t, exitOK, code, stdout)
}

func TestTheExitCodeOfEvalIsThatOfTheWorstAnswer(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", judgedPolicy)
	warn := write(t, "warn.yaml",
		strings.Replace(judgedPolicy, "version: 1", "version: 1\nmode: warn", 1))
	good, bad := write(t, "good.yaml", "- image: mirror.example/a\n"),
		write(t, "bad.yaml", judgedOperations)
	tests := []struct {
		name string
		args []string
		code int
	}{
		{"all is allowed", []string{"--policy", file, "--build", good, "docker/dockerfile:1"}, exitOK},
		{
			"an operation is denied",
			[]string{"--policy", file, "--build", bad, "docker/dockerfile:1"},
			exitDeny,
		},
		{
			"an operation would be denied",
			[]string{"--policy", warn, "--build", bad, "docker/dockerfile:1"},
			exitOK,
		},
		{"the frontend is denied", []string{"--policy", file, "--build", good, "quay.io/x"}, exitDeny},
		{
			"the frontend depends on its digest",
			[]string{"--policy", file, "--build", bad, "docker/pinned"},
			exitUndecidable,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"eval", "explain"} {
				code, stdout, stderr := run(append([]string{command}, tt.args...)...)
				require.Equal(t, tt.code, code, "%s%s", stdout, stderr)
			}
		})
	}
}

func TestFactsThatCannotBeReadAreErrorsOfUsage(t *testing.T) {
	t.Parallel()
	file, broken := write(t, "policy.yaml", judgedPolicy), write(t, "operations.yaml", "- imgae: a\n")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no file", []string{"--build", broken + "x"}, "no such file"},
		{
			"a file of operations that is broken",
			[]string{"--build", broken},
			broken + `:1:3: unknown field "imgae"; did you mean "image"?`,
		},
		{
			"no file of LLB",
			[]string{"--llb", filepath.Join(filepath.Dir(broken), "x.llb")},
			"no such file",
		},
		{"a file that is no LLB", []string{"--llb", broken}, broken + ": not an LLB definition"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"eval", "explain"} {
				code, stdout, stderr := run(
					append(append([]string{command, "--policy", file}, tt.args...), "docker/dockerfile:1")...)
				require.Equal(t, exitUsage, code)
				require.Empty(t, stdout)
				require.Contains(t, stderr, tt.want)
			}
		})
	}
}

// A build file's name comes from whoever made the LLB.
func TestPlacesCannotWriteToATerminal(t *testing.T) {
	t.Parallel()
	evil := strings.Replace(string(exampleLLB()), "Dockerfile", "Docker\x1b[2J", 1)
	require.NotContains(t, evil, "Dockerfile", "it has the same length")
	code, stdout, _ := run("eval", "--policy", write(t, "p", judgedPolicy), "--llb",
		write(t, "l", evil), "docker/dockerfile:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, `(line 3 of Docker\x1b[2J)`)
	require.NotContains(t, stdout, "\x1b")
}

func TestTestTellsOfOperations(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t,
		map[string]string{"policy.yaml": judgedPolicy, "a.test.yaml": `policy: policy.yaml
cases:
- name: builds
  request: docker/dockerfile:1
  expect: {verdict: allow}
  build:
  - image: busybox
  - image: quay.io/x
  - exec: {network: host}
    expect: {verdict: deny, rule: build}
- {name: pinned, request: 'docker/pinned', expect: {verdict: undecidable}}
`})
	code, stdout, _ := run("test", dir)
	require.Equal(t, exitFindings, code)
	const reason = `rule "dockerfile" refuses the image quay.io/x:latest: it allows only mirror.example/** (build.images.allow)`
	require.Equal(t, `DIR/a.test.yaml:3: builds: failed
    line 8: the image quay.io/x: the verdict is deny, and should be allow
    line 8: the image quay.io/x: the reason is: `+reason+`
1 passed, 1 failed
`, strings.ReplaceAll(stdout, dir, "DIR"))

	_, stdout, _ = run("test", "--format", "json", dir)
	var report struct {
		Suites []struct{ Cases []caseReport }
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Len(t, report.Suites[0].Cases[0].Build, 3)
	require.Equal(t, reason, report.Suites[0].Cases[0].Build[1].Reason)

	_, stdout, _ = run("test", "--format", "junit", dir)
	require.Contains(t, stdout,
		`<failure message="line 8: the image quay.io/x: the verdict is deny, and should be allow">`)
}
