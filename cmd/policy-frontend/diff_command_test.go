package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/diff"
)

const (
	diffOld = `version: 1
id: corp
frontends:
  - {name: dockerfile, match: [docker/dockerfile], tags: ["1.*"], options: {strip: [add-hosts]}}
  - {name: blubber, match: [quay.io/blubber]}
`
	diffNew = `version: 1
id: corp
frontends:
  - {name: dockerfile, match: [docker/dockerfile], tags: ["1.*", "2"], expires: 2027-06-01}
`
)

func TestDiffText(t *testing.T) {
	t.Parallel()
	a, b := write(t, "old.yaml", diffOld), write(t, "new.yaml", diffNew)
	code, stdout, stderr := run("diff", "--at", "2027-01-01T00:00:00Z", a, b)
	require.Equal(t, exitFindings, code)
	require.Empty(t, stderr)
	require.Equal(t, `+ allowed   docker/dockerfile:2
    and 2 more like it, from docker.io/docker/dockerfile
    before: deny: rule "dockerfile" would allow it, but only with the tag 1.*, not 2
    now:    allow: rule "dockerfile" allows docker/dockerfile:2
+ loosened  docker/dockerfile:1.other with the option add-hosts="other"
    no longer required: options.strip: add-hosts
    before: allow: rule "dockerfile" allows docker/dockerfile:1.other
    now:    allow: rule "dockerfile" allows docker/dockerfile:1.other
  refused   docker/dockerfile:1.other from 2027-06-01T00:00:00Z
    and 2 more like it, from docker.io/docker/dockerfile
    before: allow: rule "dockerfile" allows docker/dockerfile:1.other
    now:    deny: rule "dockerfile" expired on 2027-06-01
  refused   quay.io/blubber:latest
    and 1 more like it, from quay.io/blubber
    before: allow: rule "blubber" allows quay.io/blubber:latest
    now:    deny: no rule allows quay.io/blubber:latest
  removed: rule blubber
  changed: rule dockerfile
26 requests compared; something widens (+)
`, stdout)
}

func TestDiffOfWhatNarrows(t *testing.T) {
	t.Parallel()
	a, b := write(t, "old.yaml", testPolicy), write(t, "new.yaml", "version: 1\nid: corp\n")
	code, stdout, _ := run("diff", a, b)
	require.Equal(t, exitOK, code, stdout)
	require.Contains(t, stdout, "  refused   docker/dockerfile:1.")
	require.Contains(t, stdout, "  removed: rule dockerfile\n")
	require.Contains(t, stdout, "; nothing widens\n")
}

func TestDiffSaysWhatIsNotCompared(t *testing.T) {
	t.Parallel()
	const config = "version: 1\nid: corp\ncontact: x\ndispatch: mediate\nbuild:\n" +
		"  config: {user: {require: [app], forbid: [app]}, labels: {forbid: [%s]}}\n" +
		"frontends:\n  - {name: a, match: [a]}\n"
	a := write(t, "old.yaml", fmt.Sprintf(config, "x"))
	b := write(t, "new.yaml", fmt.Sprintf(config, "y"))
	code, stdout, stderr := run("diff", a, b)
	require.Equal(t, exitFindings, code)
	require.Empty(t, stderr)
	require.Equal(t, `  changed: the build rules of the whole policy
+ not compared: build.config for the frontends of rule a, because all samples are refused
4 requests compared; something may widen (+)
`, stdout)
}

func TestDiffJSON(t *testing.T) {
	t.Parallel()
	a, b := write(t, "old.yaml", diffOld), write(t, "new.yaml", diffNew)
	code, stdout, _ := run("diff", "--format", "json", "--at", "2027-01-01T00:00:00Z", a, b)
	require.Equal(t, exitFindings, code)
	var r diff.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.True(t, r.Widened)
	require.Equal(t, diff.Allowed, r.Differences[0].Change)
	require.Equal(t, "docker/dockerfile:2", r.Differences[0].Request.Reference)

	_, stdout, _ = run("diff", "--format", "json", a, a)
	require.Contains(t, stdout, `"widened":false`)
	require.Contains(t, stdout, `"differences":[],"statements":[]`)
}

func TestDiffRefuses(t *testing.T) {
	t.Parallel()
	a, broken := write(t, "a.yaml", testPolicy), write(t, "broken.yaml", "version: 2\n")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"one policy", []string{a}, "give exactly two policy files, not 1"},
		{"three policies", []string{a, a, a}, "give exactly two policy files, not 3"},
		{"a broken first policy", []string{broken, a}, broken + ":1:10: version 2"},
		{"a broken second policy", []string{a, broken}, broken + ":1:10: version 2"},
		{"a policy that isn't there", []string{a, a + "x"}, "no such file"},
		{"an invalid time", []string{"--at", "noon", a, a}, `--at: "noon" is not a time`},
		{"an invalid format", []string{"--format", "junit", a, a}, "--format must be text or json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"diff"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, tt.want)
		})
	}
}

func TestDiffShowsWhatPolicyGuardNewlyAllows(t *testing.T) {
	t.Parallel()
	a := write(t, "old.yaml", "version: 1\n")
	b := write(t, "new.yaml", "version: 1\nexports: {push: {allow: [x.example/y]}}\n")
	code, stdout, _ := run("diff", a, b)
	require.Equal(t, exitFindings, code)
	require.Equal(t, `+ exports.push: x.example/y, before none
    allowed: a push to x.example/y
    before: deny: the policy refuses pushing to x.example/y:latest (exports.push)
    now:    allow
0 requests compared; something widens (+)
`, stdout)
	_, stdout, _ = run("diff", "--format", "json", a, b)
	require.Contains(t, stdout, `"examples":[{"change":"allowed","asked":"a push to x.example/y",`+
		`"before":{"verdict":"deny","rule":"exports","reason":"the policy refuses pushing to x.example/y:latest (exports.push)"},`+
		`"after":{"verdict":"allow","rule":"exports"}}]`)
}
