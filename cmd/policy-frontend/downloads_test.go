package main

import (
	"os"
	"path/filepath"
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

func TestDownloadsDifferByClient(t *testing.T) {
	t.Parallel()
	policyFile := write(t, "policy.yaml", `version: 1
frontends:
  - {name: alices, match: [docker/dockerfile], clients: ["uid:1"],
     build: {exec: {downloads: {allow: ["https://alice.example"]}}}}
  - {name: bobs, match: [docker/dockerfile], clients: ["uid:2"],
     build: {exec: {downloads: {allow: ["https://bob.example"]}}}}
`)
	suite := "policy: policy.yaml\ncases:\n"
	for _, tc := range []struct {
		client, host, rule string
		want               int
	}{
		{"uid:1", "alice.example", "alices", exitOK},
		{"uid:1", "bob.example", "alices", exitDeny},
		{"uid:2", "bob.example", "bobs", exitOK},
		{"uid:2", "alice.example", "bobs", exitDeny},
	} {
		operation := "download: \"https://" + tc.host + "/a\""
		code, stdout, stderr := run("eval", "--policy", policyFile, "--client", tc.client, "--build",
			write(t, "operations.yaml", "- "+operation+"\n"), "docker/dockerfile:1")
		require.Equal(t, tc.want, code, "%s%s", stdout, stderr)
		require.Contains(t, stdout, "rule \""+tc.rule+"\"")
		verdict := map[int]string{exitOK: "allow", exitDeny: "deny"}[tc.want]
		suite += "  - {name: " + tc.client + " asks " + tc.host + ", client: \"" + tc.client +
			"\", request: \"docker/dockerfile:1\",\n     expect: {verdict: allow, rule: " + tc.rule +
			"}, build: [{" + operation + ", expect: " + verdict + "}]}\n"
	}
	cases := filepath.Join(filepath.Dir(policyFile), "cases.yaml")
	require.NoError(t, os.WriteFile(cases, []byte(suite), 0o600))
	code, stdout, stderr := run("test", cases)
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
	require.Contains(t, stdout, "4 passed, 0 failed")
}

func TestDownloadsOfLLBThatNoFrontendMade(t *testing.T) {
	t.Parallel()
	policyFile := write(t, "policy.yaml",
		"version: 1\nllb: allow\nbuild: {exec: {downloads: {allow: [deb.example]}}}\n")
	for operation, want := range map[string]int{
		"download: https://deb.example/a": exitOK, "download: https://evil.example/a": exitDeny,
	} {
		code, stdout, stderr := run("eval", "--policy", policyFile, "--own-llb", "--build",
			write(t, "operations.yaml", "- "+operation+"\n"))
		require.Equal(t, want, code, "%s%s", stdout, stderr)
	}
}

func TestAnOverlayOnDownloadsNeedsAPolicyWithSome(t *testing.T) {
	t.Parallel()
	overlay := write(t, "overlay.yaml",
		"version: 1\ndefault: allow\nbuild: {exec: {downloads: deny}}\n")
	ask := func(build string) (int, string) {
		code, _, stderr := run("eval", "--overlay", overlay, "--policy",
			write(t, "policy.yaml", "version: 1\nid: corp\ndefault: allow\n"+build), "docker/dockerfile:1")
		return code, stderr
	}
	code, stderr := ask("")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "the overlay has rules on what commands download (build.exec.downloads), "+
		`and the policy "corp" has none, so nobody is asked about a download: build without them, or have `+
		"some added to the policy")
	code, stderr = ask("build: {exec: {downloads: {allow: [deb.example]}}}\n")
	require.Equal(t, exitOK, code, stderr)
}
