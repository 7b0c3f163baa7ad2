package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every example of docs/policy.md is a policy that lint can read, and answers as
// the tables under it say: requests, operations under what is asked for most, and results.
func TestTheExamplesOfPolicyMd(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (allow|deny|warn|undecidable) \\|$")
	operation := regexp.MustCompile("(?m)^\\| `([a-zA-Z]+: [^`]+)` \\| (allow|deny|warn) \\|$")
	result := regexp.MustCompile(`(^| )--(export|cache-from|cache-to|sbom|debug|administration)( |$)`)
	blocks := strings.Split(string(data), "```yaml\n")[1:]
	require.NotEmpty(t, blocks)
	operations := 0
	for _, block := range blocks {
		doc, rest, ok := strings.Cut(block, "```\n")
		require.True(t, ok)
		rows := row.FindAllStringSubmatch(rest, -1)
		require.NotEmpty(t, rows, "no answers under\n%s", doc)
		file := write(t, "policy.yaml", doc)
		for _, r := range operation.FindAllStringSubmatch(rest, -1) {
			code, stdout, stderr := run("eval", "--policy", file, "--build",
				write(t, "operations.yaml", "- "+r[1]+"\n"), "docker/dockerfile:1")
			require.Equal(t, map[string]int{"allow": exitOK, "warn": exitOK, "deny": exitDeny}[r[2]], code,
				"%s\n%s%s", r[1], stdout, stderr)
			require.Equal(t, r[2] == "warn", strings.Contains(stdout, "is allowed with a warning"), r[1])
			require.Contains(t, stdout, "frontend docker/dockerfile:1 is allowed: ")
			operations++
		}
		for _, r := range rows {
			if operation.MatchString(r[0]) {
				continue
			}
			args := append([]string{"eval", "--policy", file, "--format", "json"}, strings.Fields(r[1])...)
			code, stdout, stderr := run(args...)
			var d struct{ Verdict, Reason string }
			require.NoError(t, json.Unmarshal([]byte(stdout), &d), "%s\n%s", r[1], stderr)
			if result.MatchString(r[1]) {
				require.Equal(t, "allow", d.Verdict, r[1])
				require.Equal(t, map[string]int{"allow": exitOK, "deny": exitDeny}[r[2]], code, stdout)
				continue
			}
			require.Equal(t, r[2], d.Verdict, "%s: %s\n%s", r[1], d.Reason, doc)
		}
	}
	require.NotZero(t, operations)
}

// The policies of the README are ones, and that on builds does what is said of it.
func TestThePoliciesOfTheREADME(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(data), -1)
	require.Len(t, blocks, 2)
	operations := write(t, "operations.yaml",
		"- image: busybox\n- exec: {secrets: [npm-token]}\n- config: {user: app}\n")
	for _, b := range blocks {
		file := write(t, "policy.yaml", b[1])
		code, stdout, stderr := run("eval", "--policy", file, "--build", operations,
			"docker/dockerfile:1")
		require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
		if strings.Contains(b[1], "build:") {
			require.Contains(t, stdout,
				"1. the image busybox (line 1) is allowed\n  image:        mirror.example/hub/busybox:latest\n")
			for _, refused := range []string{
				"image: quay.io/x", "exec: {secrets: [aws]}",
				"config: {user: \"0\"}",
			} {
				code, stdout, _ := run("eval", "--policy", file, "--build",
					write(t, "operations.yaml", "- "+refused), "docker/dockerfile:1")
				require.Equal(t, exitDeny, code, stdout)
			}
		}
	}
}

// The cases that docs/policy.md shows pass with the policy that is before them.
func TestTheCasesOfPolicyMd(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	const begin = "```text\npolicy: policy.yaml\n"
	parts := strings.Split(string(data), begin)
	require.Len(t, parts, 3)
	for i, before := range parts[:len(parts)-1] {
		cases, _, ok := strings.Cut(parts[i+1], "```\n")
		require.True(t, ok)
		_, doc, ok := strings.Cut(before[strings.LastIndex(before, "```yaml\n"):], "```yaml\n")
		require.True(t, ok)
		doc, _, ok = strings.Cut(doc, "```\n")
		require.True(t, ok)
		policyFile := write(t, "policy.yaml", doc)
		file := filepath.Join(filepath.Dir(policyFile), "policy.test.yaml")
		require.NoError(t, os.WriteFile(file, []byte("policy: policy.yaml\n"+cases), 0o600))
		code, stdout, stderr := run("test", file)
		require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, fmt.Sprintf("%d passed, 0 failed", strings.Count(cases, "- name: ")))
	}
}
