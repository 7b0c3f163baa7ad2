//go:build !image

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

// drafted runs init on a directory. It holds that lint accepts the policy, and that check refuses
// nothing with it. It returns the policy and what init says on stderr.
func drafted(t *testing.T, dir string) (text, stderr string) {
	t.Helper()
	code, text, stderr := run("init", dir)
	require.Equal(t, exitOK, code, stderr)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	code, stdout, problems := run("lint", file)
	require.Equal(t, exitOK, code, "%s%s\n%s", stdout, problems, text)
	_, stdout, _ = run("check", "--policy", file, dir)
	require.Contains(t, stdout, ": 0 refused, 0 warned,", "%s\n%s", stdout, text)
	return strings.ReplaceAll(text, dir+"/", ""), strings.ReplaceAll(stderr, dir, "DIR")
}

func TestInitWritesWhatBuildFilesUse(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{
		"a/Dockerfile": dockerfileLine + "FROM alpine:3.20 AS build\n" +
			"ADD https://files.example/releases/1/a.tar.gz /a\n" +
			"ADD http://plain.example:8080/a /b\n" +
			"ADD https://files.example/root /c\n" +
			"ADD https://git.example/team/app.git#main /d\n" +
			"ADD git@git.example:team/app.git /e\n" +
			"RUN --mount=type=secret,id=npm-token --mount=type=ssh true\n" +
			"FROM scratch\nCOPY --from=build /a /\nCOPY --from=quay.io/corp/tools:1 /x /\n",
		"b/Dockerfile": "ARG V\nFROM alpine@sha256:" + strings.Repeat("a", 64) + "\n" +
			"RUN --network=host true\nRUN --security=insecure true\nADD https://unknown.example/$V/x /\n",
		"c/Dockerfile": "# syntax=corp.example/build\nFROM x\n",
		"d/compose.yaml": "services:\n  a:\n    build:\n      dockerfile_inline: \"FROM layout\\nCOPY --from=dir / /\\nRUN true\"\n" +
			"      extra_hosts: {db.example: 10.0.0.1}\n      ulimits: {nofile: 1024}\n" +
			"      additional_contexts: {dir: ../x, layout: \"oci-layout://corp.example/y@sha256:" + strings.Repeat("c", 64) + "\"}\n",
		"e/Dockerfile": "FORM alpine\n",
		"f/Dockerfile": "# syntax=corp.example/other/build:2\nFROM x\n",
	})
	text, stderr := drafted(t, dir)
	require.Equal(t, `# A draft: it allows what was found in build files, good or bad. Read each entry, and delete
# what nobody should use. Then try it with policy-frontend check.
version: 1
id: draft
contact: the authors of the policy  # say whom to ask
defaultFrontend: docker/dockerfile:1
dispatch: mediate
build:
  others: deny  # sources of other kinds than those below
  images:
    allow:
      - "docker.io/library/alpine"  # in 2 places, first in a/Dockerfile:2
      - "quay.io/corp/tools"  # in a/Dockerfile:11
  git:
    allow:
      - "https://git.example/team/**"  # in a/Dockerfile:6
      - "ssh://git.example/team/**"  # in a/Dockerfile:7
  http:
    allow:
      # lint:ignore plain-http builds use it
      - "http://plain.example:8080/*"  # in a/Dockerfile:4
      - "https://files.example/*"  # in a/Dockerfile:5
      - "https://files.example/releases/**"  # in a/Dockerfile:3
  local:
    allow:
      - "context"  # in 3 places, first in a/Dockerfile
      - "dir"  # in 2 places, first in d/compose.yaml
      - "dockerfile"  # in 4 places, first in a/Dockerfile
  # lint:ignore layout-name builds use it
  ociLayout:
    allow:
      - "docker.io/library/layout"  # in d/compose.yaml:5
  exec:
    # lint:ignore host-network builds use it
    networks: [none, default, host]  # in b/Dockerfile:3
    # lint:ignore insecure-exec builds use it
    insecure: true  # in b/Dockerfile:4
    ssh:
      - "default"  # in a/Dockerfile:8
    secrets:
      - "npm-token"  # in a/Dockerfile:8
    hosts:
      - "db.example"  # in d/compose.yaml:6
    ulimits:
      "nofile": 1024  # in d/compose.yaml:6
frontends:
  # What this frontend asks for isn't known offline. "others: deny" may refuse it.
  - name: "build-frontend"
    match: ["corp.example/build"]  # in c/Dockerfile:1
  # What this frontend asks for isn't known offline. "others: deny" may refuse it.
  - name: "build-frontend-2"
    match: ["corp.example/other/build"]  # in f/Dockerfile:1
  - name: "dockerfile"
    match: ["docker.io/docker/dockerfile"]  # in 4 places, first in a/Dockerfile:1
`, text)
	const problem = "DIR/e/Dockerfile:1: unreadable: "
	require.Equal(t, problem, stderr[:len(problem)])
}

// The examples, and files of every shape that the tests of check have.
func TestInitAllowsWhatItWasMadeOf(t *testing.T) {
	t.Parallel()
	drafted(t, filepath.Join(root, "examples"))
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("r%d/Dockerfile", i)] = surveyed(i)
	}
	for name, text := range mixedFiles() {
		files["mixed/"+name] = text
	}
	bases := []string{
		"alpine", "localhost:5000/a/b:1", "ghcr.io/a/b@sha256:" + strings.Repeat("b", 64), "10.0.0.1/x/y",
		"index.docker.io/library/busybox", "[::1]:5000/x",
	}
	steps := []string{
		"ADD https://A.example/x%20y/z /", "ADD https://a.example:8443/x/y?q=1 /", "ADD https://a.example/ /x",
		"ADD git@github.com:a/b.git#v1 /", "ADD https://github.com/a/b.git?ref=v1 /",
		"ADD ssh://git@host.example:29418/a /", "ADD git://git.example/a/b /",
		"RUN --mount=type=secret,id=a.b_c true", "RUN --mount=type=ssh,id=x true",
		"RUN --mount=from=ghcr.io/c/d,target=/x true", "RUN --device=vendor.example/class=x true",
		"ONBUILD RUN --mount=type=secret,id=later true", "COPY . .", "USER root",
		"RUN --network=none true",
	}
	for i, base := range bases {
		for j, step := range steps {
			files[fmt.Sprintf("g%d-%d/Dockerfile", i, j)] = "FROM " + base + "\n" + step + "\n"
		}
	}
	drafted(t, suiteFolderOf(t, files))
}

func TestInitTellsWhatNoEntryCanAllow(t *testing.T) {
	t.Parallel()
	for _, step := range []string{
		"ADD https://a.example/x/../y/z /", "ADD https://0177.0.0.1/x /", "RUN --mount=type=secret,id=a* true",
	} {
		dir := suiteFolderOf(t, map[string]string{"Dockerfile": "FROM alpine\n" + step + "\n"})
		code, text, stderr := run("init", dir)
		require.Equal(t, exitRefused, code, step)
		require.Contains(t, stderr, "policy-frontend init: the policy still refuses 1 use", step)
		_, err := policy.Parse("policy.yaml", []byte(text))
		require.NoError(t, err)
	}
}

func TestInitWritesNewFilesOnly(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{"Dockerfile": "FROM alpine\n", "old.yaml": "old"})
	code, stdout, _ := run("init", "--output", filepath.Join(dir, "new.yaml"), dir)
	require.Equal(t, exitOK, code)
	require.Empty(t, stdout)
	require.Contains(t, contents(t, filepath.Join(dir, "new.yaml")), "docker.io/library/alpine")
	for _, name := range []string{"old.yaml", "new.yaml", "none/x.yaml"} {
		code, _, stderr := run("init", "-o", filepath.Join(dir, name), dir)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, name)
	}
	require.Equal(t, "old", contents(t, filepath.Join(dir, "old.yaml")))
}

func TestInitNeedsSomethingToRead(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{"a/Dockerfile": "FORM x\n", "b/main.go": "package b"})
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no build file", []string{filepath.Join(dir, "b")}, "there is no build file in "},
		{"no directory", []string{filepath.Join(dir, "c")}, "no such file or directory"},
		{
			"an overlay",
			[]string{"--opt", "build-arg:POLICY_FRONTEND_POLICY=x", dir},
			"init takes no overlay",
		},
		{"a wrong build-arg", []string{"--build-arg", "x", dir}, "--build-arg needs NAME=VALUE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"init"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, tt.want)
		})
	}
}
