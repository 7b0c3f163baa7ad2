package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEvalAnswersWhereResultsMayGo(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", `version: 1
contact: "#help"
exports: {push: {allow: ["corp.example/**"]}}
frontends: [{name: a, match: [docker/dockerfile]}]
`)
	code, stdout, stderr := run("eval", "--policy", file, "--export", "push=corp.example/a",
		"--export", "push=x.example/a", "--cache-from", "registry=corp.example/a", "docker/dockerfile:1")
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, `
a push to corp.example/a:latest is allowed
  message:      only policy-guard sees this, and applies it
a push to x.example/a:latest is refused: the policy refuses pushing to x.example/a:latest: it allows only corp.example/** (exports.push.allow)
  message:      build with -o type=oci,dest=FILE and push the file, or have the name allowed in exports.push
  message:      only policy-guard sees this, and applies it
  rule:         exports
  allowed:      corp.example/**
  contact:      #help
the import of the build cache corp.example/a:latest is refused: the policy refuses importing the build cache corp.example/a:latest (caches.imports.registry)
  message:      build without it, or have it allowed in caches.imports
  message:      only policy-guard sees this, and applies it
  rule:         caches
  contact:      #help
`)
	code, stdout, _ = run("eval", "--policy", file, "--format", "json", "--export", "oci",
		"docker/dockerfile:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout,
		`"build":[{"verdict":"allow","asked":"a result for the client of the type oci"`)
	for _, args := range [][]string{
		{"--export", "x"},
		{"--export", "push=A b"},
		{"--cache-from", "registry"},
		{"--cache-to", "registry="},
		{"--sbom", "A b"},
	} {
		code, _, stderr := run(append(append([]string{"eval", "--policy", file}, args...),
			"docker/dockerfile:1")...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, args[0]+":")
	}
	code, stdout, _ = run("explain", "--policy", file, "--export", "oci", "docker/dockerfile:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "policy-guard lets results go only there: the client (local, tar, oci, docker); pushed to corp.example/**")
	require.Contains(t, stdout, "a result for the client of the type oci is allowed\n")
}
