//go:build !image

package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const checkPolicy = `version: 1
id: corp
contact: "#help"
dispatch: mediate
build:
  images: {allow: ["docker.io/library/*"]}
  exec: {networks: [none, default]}
frontends:
  - {name: dockerfile, match: [docker/dockerfile], message: see the wiki}
  - {name: old, match: [corp.example/dockerfile], warnAfter: 2027-01-01}
`

// checked is a folder with build files, and what check says of them.
type checked struct{ dir, policy string }

func newChecked(t *testing.T, files map[string]string) checked {
	t.Helper()
	c := checked{dir: t.TempDir(), policy: write(t, "policy.yaml", checkPolicy)}
	for name, text := range files {
		file := filepath.Join(c.dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return c
}

// run runs check with the arguments, in which DIR is the folder. So it is in the output.
func (c checked) run(args ...string) (code int, stdout, stderr string) {
	args = append([]string{"check", "--policy", c.policy, "--at", "2027-02-01"}, args...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", c.dir)
	}
	code, stdout, stderr = run(args...)
	return code, strings.ReplaceAll(stdout, c.dir, "DIR"), strings.ReplaceAll(stderr, c.dir, "DIR")
}

const dockerfileLine = "# syntax=docker/dockerfile:1\n"

func mixedFiles() map[string]string {
	return map[string]string{
		"a/Dockerfile": dockerfileLine + "FROM quay.io/x:1\nRUN --network=host true\nFROM alpine\n",
		"b/Dockerfile": dockerfileLine + "FROM quay.io/x:1 AS test\nFROM alpine\n",
		"c/Dockerfile": "# syntax=corp.example/dockerfile:1\nARG V\nFROM alpine:$V\n",
		"d/Dockerfile": "# syntax=corp.example/other:1\nFROM alpine\n",
		"e/Dockerfile": dockerfileLine + "FORM alpine\n",
		"f/Dockerfile": dockerfileLine + "FROM alpine\n",
	}
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := newChecked(t, mixedFiles()).run("DIR")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stderr)
	require.Equal(t, `DIR/b/Dockerfile:2: refused: the policy refuses the image quay.io/x:1: it allows only docker.io/library/* (build.images.allow) (in target "test")
    message: see the wiki
DIR/c/Dockerfile:1: warned: rule "old" warns since 2027-01-01
DIR/c/Dockerfile:3: unknown: the base image depends on a build-arg that has no usable default (failed to parse stage name "alpine:": invalid reference format); give it with --build-arg
DIR/d/Dockerfile:1: refused: no rule allows corp.example/other:1
    allowed: corp.example/dockerfile, docker/dockerfile
DIR/e/Dockerfile:2: unreadable: dockerfile parse error on line 2: unknown instruction: FORM (did you mean FROM?)
6 files, 6 builds: 2 refused, 1 warned, 1 unknown, 1 unreadable
Not known offline: ONBUILD instructions of base images, and what the tags of 2 images point to when a build runs
By rule:
     1  build.images
     1  default
     1  old
By image:
     1  corp.example/dockerfile:1
     1  corp.example/other:1
     1  quay.io/x:1
`, stdout)
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	files := newChecked(t, map[string]string{
		"Dockerfile": dockerfileLine + "ARG I\nFROM ${I}\n",
		"compose.yaml": "services:\n  web:\n    build:\n      context: .\n      args: {I: 'quay.io/x:1'}\n" +
			"  api:\n    build:\n      context: .\n      args: {I: 'quay.io/x:1'}\n",
	})
	code, stdout, _ := files.run("--format", "json", "DIR")
	require.Equal(t, exitRefused, code)
	require.JSONEq(t, `{
"builds": [
  {"file": "DIR/Dockerfile", "frontend": "docker/dockerfile:1", "targets": [], "images": [], "verdict": "undecidable"},
  {"file": "DIR/Dockerfile", "build": "service \"api\" of DIR/compose.yaml", "frontend": "docker/dockerfile:1", "targets": [""], "images": ["quay.io/x:1"], "verdict": "deny"},
  {"file": "DIR/Dockerfile", "build": "service \"web\" of DIR/compose.yaml", "frontend": "docker/dockerfile:1", "targets": [""], "images": ["quay.io/x:1"], "verdict": "deny"}
],
"findings": [{
  "verdict": "deny", "file": "DIR/Dockerfile", "line": 3, "kind": "images", "asked": "the image quay.io/x:1",
  "image": "quay.io/x:1", "rule": "build", "layer": "policy", "messages": ["see the wiki"],
  "reason": "the policy refuses the image quay.io/x:1: it allows only docker.io/library/* (build.images.allow)",
  "allowed": ["docker.io/library/*"], "contact": "#help", "build": "service \"api\" of DIR/compose.yaml"
}],
"unreadable": [],
"summary": {
  "files": 1, "builds": 3, "refused": 1, "warned": 0, "unknown": 0, "unreadable": 0,
  "byRule": [{"name": "build.images", "count": 1}], "byImage": [{"name": "quay.io/x:1", "count": 1}]
}}`, stdout)
}

func TestCheckGitHub(t *testing.T) {
	t.Parallel()
	code, stdout, _ := newChecked(t, mixedFiles()).run("--format", "github", "DIR/b", "DIR/c", "DIR/e")
	require.Equal(t, exitUsage, code)
	require.Equal(t, `::error file=DIR/b/Dockerfile,line=2,col=1,title=refused::the policy refuses the image quay.io/x:1: it allows only docker.io/library/* (build.images.allow) (in target "test")
::warning file=DIR/c/Dockerfile,line=1,col=1,title=warned::rule "old" warns since 2027-01-01
::notice file=DIR/c/Dockerfile,line=3,col=1,title=unknown::the base image depends on a build-arg that has no usable default (failed to parse stage name "alpine:": invalid reference format); give it with --build-arg
::error file=DIR/e/Dockerfile,line=2,col=1,title=unreadable::dockerfile parse error on line 2: unknown instruction: FORM (did you mean FROM?)
`, stdout)
}

func TestCheckSARIF(t *testing.T) {
	t.Parallel()
	code, stdout, _ := newChecked(t, mixedFiles()).run("--format", "sarif", "DIR")
	require.Equal(t, exitUsage, code)
	var log sarifLog
	require.NoError(t, json.Unmarshal([]byte(stdout), &log))
	page := contents(t, filepath.Join(root, "docs/check.md"))
	var ids []string
	for _, rule := range log.Runs[0].Tool.Driver.Rules {
		ids = append(ids, rule.ID+" "+string(rule.Default.Level))
		require.Equal(t, checkURL+"#"+rule.ID, rule.HelpURI)
		require.Contains(t, anchors(page), rule.ID, "docs/check.md has a section for it")
	}
	require.Equal(t,
		[]string{"refused error", "warned warning", "unknown note", "unreadable error"}, ids)
	var results []string
	for _, r := range log.Runs[0].Results {
		at := r.Locations[0].Physical
		results = append(results, fmt.Sprintf("%s %s %s:%d", r.RuleID, r.Level,
			filepath.Base(filepath.Dir(at.Artifact.URI)), at.Region.StartLine))
	}
	require.Equal(t, []string{
		"refused error b:2", "warned warning c:1", "unknown note c:3", "refused error d:1",
		"unreadable error e:2",
	}, results)
}

func TestCheckJUnit(t *testing.T) {
	t.Parallel()
	code, stdout, _ := newChecked(t, mixedFiles()).run("--format", "junit", "DIR")
	require.Equal(t, exitUsage, code)
	var suites junitSuites
	require.NoError(t, xml.Unmarshal([]byte(stdout), &suites))
	var got []string
	for _, s := range suites.Suites {
		got = append(got, fmt.Sprintf("%s %d/%d output:%t", filepath.Base(filepath.Dir(s.Name)),
			s.Failures, s.Tests, s.Output != ""))
	}
	require.Equal(t, []string{
		"a 0/1 output:false", "b 1/1 output:false", "c 0/1 output:true", "d 1/1 output:false",
		"e 1/1 output:false", "f 0/1 output:false",
	}, got)
	failed := suites.Suites[1].Cases[0]
	require.Contains(t, failed.Failure.Message, "b/Dockerfile:2: the policy refuses")
	require.Equal(t, 2, failed.Line)
}

func TestCheckExits(t *testing.T) {
	t.Parallel()
	files := newChecked(t, map[string]string{
		"good": dockerfileLine + "FROM alpine\n", "bad": dockerfileLine + "FROM quay.io/x\n",
		"unknown": dockerfileLine + "ARG A\nFROM $A\n", "broken": dockerfileLine, "empty/x": "",
		"plain": "FROM alpine\n", "self": "# syntax=me.example/pf:1 docker/dockerfile:1\nFROM alpine\n",
		"overlay.yaml":      "version: 1\nfrontends:\n- {match: [corp.example/dockerfile]}\n",
		"invalid.yaml":      "version: 2\n",
		"docker-bake.hcl":   "target {",
		"two.Dockerfile":    dockerfileLine + "FROM quay.io/a AS a\nFROM alpine AS b\n",
		"arm.Dockerfile":    dockerfileLine + "FROM alpine AS b-amd64\nFROM quay.io/a AS b-arm64\nFROM b-$TARGETARCH\n",
		"option.Dockerfile": dockerfileLine + "FROM alpine\nRUN true\n",
	})
	tests := []struct {
		name string
		args string
		want int
	}{
		{"0 if nothing is refused", "DIR/good", exitOK},
		{"1 if something is refused", "DIR/good DIR/bad", exitRefused},
		{"0 if something is unknown", "DIR/unknown", exitOK},
		{"2 if a file can't be read", "DIR/none", exitUsage},
		{"2 if a file isn't a build file", "DIR/broken DIR/bad", exitUsage},
		{"2 if a bake file can't be read", "DIR/docker-bake.hcl", exitUsage},
		{"2 if there is no build file", "DIR/empty", exitUsage},
		{"2 if the policy is invalid", "--policy DIR/invalid.yaml DIR/good", exitUsage},
		{"2 for an option without a value", "--opt x DIR/good", exitUsage},
		{"2 for a build-arg without a value", "--build-arg x DIR/good", exitUsage},
		{"2 for an unknown format", "--format x DIR/good", exitUsage},
		{"1 if the overlay refuses", "--overlay DIR/overlay.yaml DIR/good", exitRefused},
		{"0 with the build-arg that is missing", "--build-arg A=alpine DIR/unknown", exitOK},
		{"1 with a refused build-arg", "--build-arg A=quay.io/x DIR/unknown", exitRefused},
		{"1 for a file without a syntax line", "DIR/plain", exitRefused},
		{"0 with BUILDKIT_SYNTAX", "--build-arg BUILDKIT_SYNTAX=docker/dockerfile:1 DIR/plain", exitOK},
		{"1 for an unknown policy frontend", "DIR/self", exitRefused},
		{"0 with the policy frontend's name", "--opt source=me.example/pf:2 DIR/self", exitOK},
		{"1 for the other target", "DIR/two.Dockerfile", exitRefused},
		{"0 for one target", "--target b DIR/two.Dockerfile", exitOK},
		{"1 for another platform", "--platform linux/arm64 DIR/arm.Dockerfile", exitRefused},
		{"0 for this platform", "--platform linux/amd64 --target b-amd64 DIR/arm.Dockerfile", exitOK},
		{"1 for an option", "--opt force-network-mode=host DIR/option.Dockerfile", exitRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := files.run(strings.Fields(tt.args)...)
			require.Equal(t, tt.want, code, "%s%s", stdout, stderr)
		})
	}
}

func TestProgressIsOneLineOfATerminal(t *testing.T) {
	t.Parallel()
	var terminal strings.Builder
	p := progress{terminal: &terminal, total: 60}
	for range p.total {
		p.step()
	}
	p.end()
	require.Equal(t, "\r25 of 60 builds checked\r50 of 60 builds checked\r\x1b[K", terminal.String())
	require.Nil(t, newProgress(&terminal, 1000).terminal, "a file or a pipe gets no progress")
}

func TestCheckReadsStdin(t *testing.T) {
	t.Parallel()
	cmd := newCheckCommand()
	var out, errs strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetIn(strings.NewReader(dockerfileLine + "FROM quay.io/x\n"))
	cmd.SetArgs([]string{"--policy", write(t, "policy.yaml", checkPolicy), "-"})
	require.Error(t, cmd.Execute())
	require.Contains(t, out.String(), "-:2: refused: the policy refuses the image quay.io/x:latest")
}

func TestCheckJudgesAsAClient(t *testing.T) {
	t.Parallel()
	file := newChecked(t, map[string]string{"Dockerfile": dockerfileLine + "FROM alpine\nFROM corp/base\n"})
	file.policy = write(t, "policy.yaml", `version: 1
dispatch: mediate
build:
  images: [{name: all, match: [alpine]}, {name: ci, match: ["corp/*"], clients: ["cn:ci-*"]}]
frontends: [{name: d, match: [docker/dockerfile], clients: ["cn:*", "gid:2"]}]
`)
	for _, tt := range []struct {
		name   string
		client []string
		code   int
		want   string // in the output
	}{
		{
			"one whom all rules are for",
			[]string{"cn:ci-1"},
			exitOK,
			"1 file, 1 build: 0 refused, 0 warned, 0 unknown",
		},
		{
			"one for whom an image isn't",
			[]string{"uid:1", "gid:2"},
			exitRefused,
			"Dockerfile:3: refused: the policy refuses the image corp/base:latest: rule \"ci\" would " +
				"allow it, but only for cn:ci-*, not for uid:1 and gid:2",
		},
		{
			"an unknown one", nil, exitRefused,
			"Dockerfile:1: refused: rule \"d\" would allow it, but only for cn:* and gid:2, and it isn't " +
				"known who builds",
		},
		{
			"a group by its name",
			[]string{"uid:1", "gid:builders"},
			exitUsage,
			"--client: \"gid:builders\" has no number: names of groups mean something else on each " +
				"machine, so write gid: and the number that \"getent group NAME\" shows",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"DIR"}
			for _, name := range tt.client {
				args = append(args, "--client", name)
			}
			code, stdout, stderr := file.run(args...)
			require.Equal(t, tt.code, code, stdout+stderr)
			require.Contains(t, stdout+stderr, tt.want)
		})
	}
}

func TestCheckReadsAPipe(t *testing.T) {
	t.Parallel()
	files := newChecked(t, map[string]string{"x": dockerfileLine + "FROM quay.io/x\n"})
	pipe := filepath.Join(files.dir, "pipe")
	line := "mkfifo " + pipe + " && { cat " + filepath.Join(files.dir, "x") + " >" + pipe +
		" & } && policy-frontend check --policy " + files.policy + " " + pipe
	stdout, _, code := shell(t, exampleFolder(t), line)
	require.Equal(t, exitRefused, code)
	require.Contains(t, stdout, "pipe:2: refused: the policy refuses the image quay.io/x:latest")
}

func TestAnOverlayInAnOptionIsNoOptionOfTheBuild(t *testing.T) {
	t.Parallel()
	files := newChecked(t, map[string]string{"Dockerfile": dockerfileLine + "FROM alpine\n"})
	overlay := "build-arg:POLICY_FRONTEND_POLICY=version: 1\nfrontends:\n- match: [docker/dockerfile]\n" +
		"  options: {only: [filename]}\n"
	code, stdout, stderr := files.run("--opt", overlay, "DIR/Dockerfile")
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
}

func TestCheckSurveysManyRepositories(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("r%d/Dockerfile", i)] = surveyed(i)
	}
	code, stdout, _ := newChecked(t, files).run("DIR")
	require.Equal(t, exitRefused, code)
	require.Contains(t, stdout, "500 files, 500 builds: 50 refused, 0 warned, 0 unknown, 0 unreadable\n")
	require.Contains(t, stdout, "By image:\n    50  quay.io/corp/base:1\n")
}

// surveyed returns a Dockerfile of the kind of which a company has hundreds. Every tenth one is
// refused.
func surveyed(i int) string {
	base := "alpine:3.20"
	if i%10 == 0 {
		base = "quay.io/corp/base:1"
	}
	return fmt.Sprintf(`# syntax=docker/dockerfile:1
ARG GO=1.%d
FROM golang:${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache go mod download
COPY . .
RUN CGO_ENABLED=0 go build -o /out/app ./cmd/app%d
FROM build AS test
RUN go test ./...
FROM %s
COPY --from=build /out/app /usr/bin/app
USER app
ENTRYPOINT ["/usr/bin/app"]
`, 20+i%5, i, base)
}

func BenchmarkCheck500Dockerfiles(b *testing.B) {
	dir := b.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	require.NoError(b, os.WriteFile(policy, []byte(checkPolicy), 0o600))
	for i := range 500 {
		repository := filepath.Join(dir, fmt.Sprintf("r%d", i))
		require.NoError(b, os.Mkdir(repository, 0o700))
		file := filepath.Join(repository, "Dockerfile")
		require.NoError(b, os.WriteFile(file, []byte(surveyed(i)), 0o600))
	}
	for b.Loop() {
		if code, _, _ := run("check", "--policy", policy, dir); code != exitRefused {
			b.Fatal(code)
		}
	}
}
