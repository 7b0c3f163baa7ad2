package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
)

const loosePolicy = "version: 1\nid: x\ncontact: y\nfrontends:\n- {match: [\"a\"], expires: 2027-01-01}\n- {name: \"a,b\", match: [docker/x*]}\n"

func TestLintJSON(t *testing.T) {
	t.Parallel()
	file, broken := write(t, "loose.yaml", loosePolicy),
		write(t, "broken.yaml", "version: 2\nfoo: bar\n")
	code, stdout, stderr := run("lint", "--format", "json", "--at", "2026-12-31T00:00:00Z", file,
		broken)
	require.Equal(t, exitUsage, code)
	require.Empty(t, stderr)
	var report struct {
		Findings []struct {
			Code, Level, Rule, File, Message string
			Line, Column                     int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	var got []string
	for _, f := range report.Findings {
		got = append(got, strings.Join([]string{f.Code, f.Level, f.Rule, filepath.Base(f.File)}, " "))
		require.NotEmpty(t, f.Message)
	}
	require.Equal(t,
		[]string{
			"unnamed-rule note frontends[0] loose.yaml", "prefix-runs-on warning a,b loose.yaml",
			"invalid error  broken.yaml",
		}, got)
	require.Equal(t, 2, report.Findings[2].Line)

	code, stdout, _ = run("lint", "--format", "json", write(t, "clean.yaml", testPolicy))
	require.Equal(t, exitOK, code)
	require.JSONEq(t, `{"findings":[]}`, stdout)
}

func TestLintGitHub(t *testing.T) {
	t.Parallel()
	dir := filepath.Dir(write(t, "a", ""))
	file := writeTo(t, dir, "a,b:c%.yaml", loosePolicy)
	code, stdout, _ := run("lint", "--format", "github", "--at", "2027-01-01T00:00:00Z", file,
		filepath.Join(dir, "none.yaml"))
	require.Equal(t, exitUsage, code)
	require.Equal(t,
		`::notice file=DIR/a%2Cb%3Ac%25.yaml,line=5,col=3,title=unnamed-rule::rule "frontends[0]": messages can name this rule only by its position, which can change; add a name
::warning file=DIR/a%2Cb%3Ac%25.yaml,line=5,col=18,title=expired::rule "frontends[0]": the rule expired on 2027-01-01 and no longer matches; remove it, or set a later expires
::warning file=DIR/a%2Cb%3Ac%25.yaml,line=6,col=25,title=prefix-runs-on::rule "a,b": match has docker.io/docker/x*, which matches every name that begins with x, such as x-evil; write the names in full, or use a directory
`, strings.Join(strings.SplitAfter(strings.ReplaceAll(stdout, dir, "DIR"), "\n")[:3], ""))
	require.Contains(t, stdout, "::error file="+dir+"/none.yaml,title=invalid::")
}

func TestLintSARIF(t *testing.T) {
	t.Parallel()
	file, broken := write(t, "loose policy.yaml", loosePolicy), write(t, "broken.yaml", "version: 2\n")
	code, stdout, stderr := run("lint", "--format", "sarif", "--at", "2026-12-31T00:00:00Z", file,
		broken)
	require.Equal(t, exitUsage, code)
	require.Empty(t, stderr)
	var log sarifLog
	require.NoError(t, json.Unmarshal([]byte(stdout), &log))
	require.Equal(t, "2.1.0", log.Version)
	require.Len(t, log.Runs, 1)
	driver := log.Runs[0].Tool.Driver
	require.Len(t, driver.Rules, len(lint.Codes()), "each code is described")
	require.Equal(t,
		"https://github.com/policy-frontend/policy-frontend/blob/main/docs/lint.md#invalid",
		driver.Rules[0].HelpURI)
	results := log.Runs[0].Results
	require.Len(t, results, 3)
	require.Equal(t, "prefix-runs-on", results[1].RuleID)
	require.Equal(t, lint.Warning, results[1].Level)
	require.Contains(t, results[1].Message.Text, `rule "a,b": match has`)
	at := results[1].Locations[0].Physical
	require.Equal(t, "file://"+strings.ReplaceAll(file, " ", "%20"), at.Artifact.URI)
	require.Equal(t, &sarifRegion{6, 25}, at.Region)
	require.Equal(t, "invalid", results[2].RuleID)
	require.Equal(t, lint.Error, results[2].Level)

	require.Equal(t, "teams/a%20b.yaml", fileURI("teams/a b.yaml"), "a relative name stays relative")
	require.Equal(t, "./a:b.yaml", fileURI("a:b.yaml"), "and is not read as a scheme")
}

func TestLintRefuses(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", testPolicy)
	for want, args := range map[string][]string{
		"--format must be text, json, sarif or github": {"--format", "xml", file},
		"--at: \"tomorrow\" is not a time":             {"--at", "tomorrow", file},
	} {
		code, stdout, stderr := run(append([]string{"lint"}, args...)...)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, want)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		code, stdout, stderr := run("completion", shell)
		require.Equal(t, exitOK, code)
		require.Contains(t, stdout, "policy-frontend")
		require.Empty(t, stderr)
	}
	for _, args := range [][]string{
		{"completion"},
		{"completion", "csh"},
		{"completion", "bash", "zsh"},
	} {
		code, stdout, _ := run(args...)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
	}
	// What the scripts ask the program when somebody presses the key.
	for want, args := range map[string][]string{
		"explain\t": {"e"}, "sarif\n": {"lint", "--format", ""}, "junit\n": {"test", "--format", ""},
		":8\n": {"diff", ""}, "powershell\n": {"completion", ""},
	} {
		code, stdout, _ := run(append([]string{"__complete"}, args...)...)
		require.Equal(t, exitOK, code)
		require.Contains(t, stdout, want)
	}
}

func TestHelpCommand(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run("help", "diff")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "diff compares the answers of two policies")
	require.Contains(t, stdout, "Exit codes:")
}

func TestWhatCannotBePrintedIsAnError(t *testing.T) {
	t.Parallel()
	file, loose := write(t, "policy.yaml", testPolicy), write(t, "loose.yaml", loosePolicy)
	cases := writeTo(t, filepath.Dir(file), "a.test.yaml", passing)
	for _, args := range [][]string{
		{"explain", "--policy", file, "docker/dockerfile:1.7"},
		{"explain", "--policy", file, "--format", "json", "docker/dockerfile:1.7"},
		{"diff", file, file},
		{"diff", "--format", "json", file, file},
		{"test", cases},
		{"test", "--format", "json", cases},
		{"test", "--format", "junit", cases},
		{"lint", loose},
		{"lint", "--format", "json", loose},
		{"lint", "--format", "sarif", loose},
		{"lint", "--format", "github", loose},
		{"completion", "bash"},
		{"schema"},
		{"version"},
	} {
		var stderr strings.Builder
		require.Equal(t, exitUsage, execute(args, failing{}, &stderr), "%v", args)
		require.NotEmpty(t, stderr.String())
	}
}
