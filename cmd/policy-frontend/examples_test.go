package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// asProgram is set for a run of this test's binary that is to be the program.
const asProgram = "POLICY_FRONTEND_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// commands returns all commands of the program, itself first.
func commands() []*cobra.Command {
	root := newRootCommand(&bytes.Buffer{}, &bytes.Buffer{})
	return append([]*cobra.Command{root}, root.Commands()...)
}

// Each line of each command's examples runs in a shell, in a folder with the files that
// examples name.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands() {
		lines := strings.Split(cmd.Example, "\n")
		require.NotEmpty(t, strings.TrimSpace(lines[0]), cmd.CommandPath())
		for _, line := range lines {
			t.Run(strings.TrimSpace(line), func(t *testing.T) {
				t.Parallel()
				require.Contains(t, line, cmd.CommandPath())
				stdout, stderr, code := shell(t, exampleFolder(t), line)
				// Denied, found and failed are answers; other codes are mistakes.
				require.Contains(t, []int{exitOK, exitDeny}, code, "%s%s", stdout, stderr)
				if cmd.Name() != "export" && cmd.Name() != "lock" { // These say there what they did.
					require.Empty(t, stderr)
				}
			})
		}
	}
}

// exampleFolder makes the folder in which examples run.
func exampleFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, ".bin")
	// All tags are patterns, so that lock asks no registry.
	files := map[string]string{
		"references.txt":   "docker/dockerfile:1\nquay.io/x\n",
		"policy.yaml":      "version: 1\nid: corp\ncontact: \"#help\"\nfrontends:\n- {name: dockerfile, match: [docker/dockerfile], tags: [\"1*\"]}\n",
		"changed.yaml":     "version: 1\nid: corp\ncontact: \"#help\"\nfrontends:\n- {name: dockerfile, match: [docker/dockerfile], tags: [\"1\"]}\n",
		"team.yaml":        testOverlay,
		"old.yaml":         "version: 1\nid: corp\ncontact: \"#help\"\n",
		"teams/a.yaml":     testOverlay,
		"operations.yaml":  "- image: busybox\n",
		"build.llb":        string(exampleLLB()),
		"policy.test.yaml": "policy: policy.yaml\ncases:\n- {name: versions, request: 'docker/dockerfile:1', expect: {verdict: allow}}\n- {name: previews, request: 'docker/dockerfile:2', expect: {verdict: deny}}\n",
	}
	files["Dockerfile"] = "# syntax=docker/dockerfile:1\nARG VERSION=1\nFROM golang:${VERSION} AS app\n"
	signer, key := newVerifyKey(t)
	files["guard.pub"] = contents(t, key)
	files["digest"] = "sha256:" + strings.Repeat("1", 64)
	summary, err := summaryOf(t, files["digest"], signer).Bytes()
	require.NoError(t, err)
	files["sum.json"] = string(summary)
	files["docker-bake.hcl"] = "target \"app\" {\n  args = { VERSION = \"1.22\" }\n}\n"
	recorded, err := os.ReadFile("../../internal/record/testdata/complete.jsonl")
	require.NoError(t, err)
	files["record.jsonl"], files["record.jsonl.1"] = string(recorded), string(recorded)
	files["repositories/a/Dockerfile"] = "# syntax=docker/dockerfile-upstream:master\nFROM busybox\n"
	for name, content := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
	program, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(bin, 0o700))
	require.NoError(t, os.Symlink(program, filepath.Join(bin, "policy-frontend")))
	return dir
}

// shell runs a line in the folder, with the program on the path.
func shell(t *testing.T, dir, line string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	cmd.Env = append(os.Environ(), asProgram+"=1",
		"PATH="+filepath.Join(dir, ".bin")+":"+os.Getenv("PATH"))
	err := cmd.Run()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// writeTo makes a file in a folder of the test's own.
func writeTo(t *testing.T, dir, name, content string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}
