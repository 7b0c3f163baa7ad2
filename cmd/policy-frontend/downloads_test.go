package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The example names the hosts of package managers. Its cases are URLs that these ask for.
func TestTheExampleOnDownloads(t *testing.T) {
	t.Parallel()
	const folder = "../../examples/guard/"
	code, stdout, stderr := run("lint", folder+"downloads.yaml")
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	require.Contains(t, stdout, "needs-guard")
	require.NotContains(t, stdout, "warning")
	code, stdout, stderr = run("test", folder+"downloads.test.yaml")
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	require.Contains(t, stdout, "2 passed, 0 failed")
}

func TestExplainSaysWhyADownloadIsRefused(t *testing.T) {
	t.Parallel()
	policyFile := write(t, "policy.yaml", "version: 1\nfrontends:\n- {name: a, match: [docker/dockerfile], "+
		"build: {exec: {secrets: [], downloads: {allow: [deb.example, apt.example/pool/**], "+
		"deny: [deb.example/x]}}}}\n")
	ask := func(command, operation string) (int, string) {
		code, stdout, stderr := run(command, "--policy", policyFile, "--build",
			write(t, "operations.yaml", "- download: "+operation+"\n"), "docker/dockerfile:1")
		require.Empty(t, stderr)
		return code, stdout
	}
	code, stdout := ask("eval", "https://deb.example/a?token=secret")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "1. a command's request for https://deb.example/a?… (line 1) is allowed\n")

	code, stdout = ask("explain", "https://apt.example/x")
	require.Equal(t, exitDeny, code)
	for _, want := range []string{
		"1. a command's request for https://apt.example/x (line 1) is refused: rule \"a\" refuses a " +
			"command's request for https://apt.example/x: it allows only https://deb.example/** or " +
			"https://apt.example/pool/** (build.exec.downloads.allow)",
		"build.exec.downloads.deny: deb.example/x",
		"build.exec.downloads.allow: apt.example/pool/**",
		"the path is /x, and not /pool/**",
	} {
		require.Contains(t, stdout, want)
	}
}
