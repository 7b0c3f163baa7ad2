package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const languagePolicy = `version: 1
id: corp
contact: "#help"
aliases:
  - from: docker/dockerfile
    to: mirror.example/docker/dockerfile
    pins: {"1.7": "` + digestA + `"}
frontends:
  - name: dockerfile
    match: [mirror.example/docker/dockerfile]
    versions: ">=1.4 <2"
    options:
      deny: ["context:*"]
      strip: [add-hosts]
      force: {"build-arg:SANDBOX": "yes"}
      inputs: deny
    warnAfter: 2027-01-01
    expires: 2027-03-01
    message: move to 2
  - name: no-previews
    action: deny
    match: ["**"]
    tags: ["*-rc*"]
`

// languageID is how the policy is named.
func languageID() string { return "corp " + digest.FromString(languagePolicy).String() }

func TestEvalWholeLanguage(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", languagePolicy)
	const before, between, after = "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z",
		"2027-03-01T00:00:00+00:00"
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{
			"what is obliged",
			[]string{"--at", before, "--opt", "add-hosts=x", "docker/dockerfile:1.7"},
			0,
			`frontend docker/dockerfile:1.7 is allowed: rule "dockerfile" allows mirror.example/docker/dockerfile:1.7@` + digestA + `
  message:      move to 2
  image:        mirror.example/docker/dockerfile:1.7@` + digestA + `
  rule:         dockerfile
  policy:       ` + languageID() + `
  removes:      add-hosts
  sets:         build-arg:SANDBOX=yes
  refuses:      context:*
  inputs:       none
`,
		},
		{
			"a warning",
			[]string{"--at", between, "docker/dockerfile:1.6"},
			0,
			`frontend docker/dockerfile:1.6 is allowed with a warning: rule "dockerfile" allows mirror.example/docker/dockerfile:1.6
  message:      move to 2
  warning:      rule "dockerfile" warns since 2027-01-01 and no longer allows this from 2027-03-01 on: move to 2
  image:        mirror.example/docker/dockerfile:1.6
  rule:         dockerfile
  policy:       ` + languageID() + `
  sets:         build-arg:SANDBOX=yes
  refuses:      context:*
  inputs:       none
  contact:      #help
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"eval", "--policy", file}, tt.args...)...)
			require.Equal(t, tt.want, stdout)
			require.Equal(t, tt.code, code)
			require.Empty(t, stderr)
		})
	}

	refusals := []struct {
		name string
		args []string
		want string
	}{
		{
			"an option",
			[]string{"--at", before, "--opt", "context:base=x", "docker/dockerfile:1.7"},
			`rule "dockerfile" refuses the option "context:base"`,
		},
		{
			"an option with another value",
			[]string{"--at", before, "--opt", "build-arg:SANDBOX=no", "docker/dockerfile:1.7"},
			`sets the option "build-arg:SANDBOX" to "yes"`,
		},
		{"an input", []string{"--at", before, "--input", "base", "docker/dockerfile:1.7"}, `"base"`},
		{"an expired rule", []string{"--at", after, "docker/dockerfile:1.7"}, "expired on 2027-03-01"},
		{
			"a rule that expires on that day",
			[]string{"--at", "2027-03-01", "docker/dockerfile:1.7"},
			"expired on 2027-03-01",
		},
	}
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"eval", "explain"} {
				code, stdout, _ := run(append([]string{command, "--policy", file}, tt.args...)...)
				require.Equal(t, exitDeny, code)
				require.Contains(t, stdout, tt.want)
			}
		})
	}
}

func TestOptionsOfThePolicyFrontendAreNotJudged(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml",
		"version: 1\nfrontends:\n- {name: a, match: [a], options: {deny: [\"build-arg:*\"]}}\n")
	code, stdout, _ := run("eval", "--policy", file, "--opt", "build-arg:POLICY_FRONTEND_OTHER=x", "a")
	require.Equal(t, exitOK, code, stdout)
	code, _, _ = run("eval", "--policy", file, "--opt", "build-arg:OTHER=x", "a")
	require.Equal(t, exitDeny, code)
}

func TestEvalIsForNow(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml",
		"version: 1\nfrontends:\n- {name: a, match: [a], expires: 2020-01-01}\n- {name: b, match: [b], expires: 9999-01-01}\n")
	code, stdout, _ := run("eval", "--policy", file, "a")
	require.Equal(t, exitDeny, code, stdout)
	code, stdout, _ = run("eval", "--policy", file, "b")
	require.Equal(t, exitOK, code, stdout)
}

func TestExplainText(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", languagePolicy)
	overlay := write(t, "team.yaml",
		"version: 1\nid: team\nfrontends:\n- {name: exact, match: [docker/dockerfile], tags: [\"1.7\"]}\n")
	code, stdout, stderr := run("explain", "--policy", file, "--overlay", overlay, "--at",
		"2026-12-01T00:00:00Z", "docker/dockerfile:1.6")
	require.Equal(t, exitDeny, code)
	require.Empty(t, stderr)
	steps, decision, ok := strings.Cut(stdout, "frontend docker/dockerfile:1.6 is refused")
	require.True(t, ok, stdout)
	require.Contains(t, decision,
		`the overlay decided: rule "exact" would allow it, but only with the tag 1.7, not 1.6`)
	require.Equal(t, `reference             it means docker.io/docker/dockerfile:1.6
by the policy:
  alias      matched  POLICY:5: the alias from docker/dockerfile to mirror.example/docker/dockerfile makes it mirror.example/docker/dockerfile:1.6
  rule       matched  POLICY:9: "dockerfile": it allows mirror.example/docker/dockerfile:1.6
  rule       missed   POLICY:20: "no-previews": its conditions don't hold for mirror.example/docker/dockerfile:1.6
  layer      allow    POLICY:9: rule "dockerfile" allows mirror.example/docker/dockerfile:1.6
by the overlay:
  rule       missed   TEAM:4: "exact": rule "exact" would allow it, but only with the tag 1.7, not 1.6
  layer      deny     rule "exact" would allow it, but only with the tag 1.7, not 1.6
`, strings.NewReplacer(file, "POLICY", overlay, "TEAM").Replace(steps))
}

func TestExplainJSONIsTheTrace(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", languagePolicy)
	args := []string{
		"--policy", file, "--at", "2026-12-01T00:00:00Z", "--format", "json",
		"docker/dockerfile:1.7",
	}
	code, stdout, stderr := run(append([]string{"explain"}, args...)...)
	require.Equal(t, exitOK, code)
	require.Empty(t, stderr)
	var trace policy.Trace
	require.NoError(t, json.Unmarshal([]byte(stdout), &trace))
	kinds := map[policy.StepKind]int{}
	for _, s := range trace.Steps {
		kinds[s.Kind]++
		if s.Kind == policy.StepRule {
			require.Equal(t, file, s.File, "the file can be opened from here")
		}
	}
	require.Equal(t,
		map[policy.StepKind]int{
			policy.StepReference: 1, policy.StepAlias: 1, policy.StepRule: 2,
			policy.StepLayer: 1, policy.StepObligations: 1,
		}, kinds)

	_, decision, _ := run(append([]string{"eval"}, args...)...)
	var eval, explained any
	require.NoError(t, json.Unmarshal([]byte(decision), &eval))
	raw, err := json.Marshal(trace.Decision)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &explained))
	require.Equal(t, eval, explained, "explain decides as eval does")
}

func TestUndecidableExplains(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run("explain", "--policy", write(t, "policy.yaml", testPolicy), "docker/pinned")
	require.Equal(t, exitUndecidable, code)
	require.Contains(t, stdout, "unknown")
}

func TestIncludedFilesCannotBeOutside(t *testing.T) {
	t.Parallel()
	outside := write(t, "outside.yaml", "version: 1\nfrontends:\n- {name: outside, match: [a]}\n")
	file := write(t, "policy.yaml", "version: 1\ninclude: [link.yaml]\n")
	require.NoError(t, os.Symlink(outside, filepath.Join(filepath.Dir(file), "link.yaml")))
	for _, args := range [][]string{
		{"eval", "--policy", file, "a"},
		{"lint", file},
		{"diff", file, file},
	} {
		code, stdout, stderr := run(args...)
		require.Equal(t, exitUsage, code, stdout)
		require.Contains(t, stderr, "link.yaml")
	}
}

func TestIncludedFilesAreRead(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", "version: 1\nid: x\ncontact: y\ninclude: [team.yaml]\n")
	dir := filepath.Dir(file)
	writeTo(t, dir, "team.yaml",
		"version: 1\nfrontends:\n- {name: team, match: [a], tags: [\"1\"]}\n- {name: dead, match: [a], tags: [\"1\"]}\n")
	code, stdout, _ := run("eval", "--policy", file, "a:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "rule:         team")

	_, stdout, _ = run("lint", file)
	require.Contains(t, stdout,
		filepath.Join(dir, "team.yaml")+`:4:3: rule "dead": the rule never decides`)

	writeTo(t, dir, "team.yaml", "version: 1\nfrontend: []\n")
	code, _, stderr := run("eval", "--policy", file, "a:1")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, filepath.Join(dir, "team.yaml")+`:2:1: unknown field "frontend"`)
}
