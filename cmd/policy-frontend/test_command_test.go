package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const passing = `policy: policy.yaml
cases:
- {name: tagged, request: 'docker/dockerfile:1.7', expect: {verdict: allow, rule: dockerfile}}
- {name: refused <&, request: 'docker/dockerfile:2', expect: {verdict: deny}}
`

const failingCases = `policy: policy.yaml
cases:
- {name: refused <&, request: 'docker/dockerfile:2', expect: {verdict: allow, rule: dockerfile}}
- {name: tagged, request: 'docker/dockerfile:1.7', expect: {verdict: allow}}
`

// suiteFolderOf makes a folder with a policy and files of cases.
func suiteFolderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		writeTo(t, dir, name, content)
	}
	return dir
}

func TestTestText(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{
		"policy.yaml": testPolicy, "pass.test.yaml": passing,
		"deeper/fail.test.yaml":    strings.Replace(failingCases, "policy.yaml", "../policy.yaml", 1),
		".hidden/broken.test.yaml": "x", "other.yaml": "x",
	})
	code, stdout, stderr := run("test", dir)
	require.Equal(t, exitFindings, code)
	require.Empty(t, stderr)
	require.Equal(t, `DIR/deeper/fail.test.yaml:3: refused <&: failed
    the verdict is deny, and should be allow
    the rule is "default", and should be "dockerfile"
    the reason is: rule "dockerfile" would allow it, but only with the tag 1.*, not 2
DIR/policy.yaml:11: rule "pinned": decides no case
3 passed, 1 failed
`, strings.ReplaceAll(stdout, dir, "DIR"))

	code, stdout, stderr = run("test", filepath.Join(dir, "pass.test.yaml"))
	require.Equal(t, exitOK, code, "rules that no case hits are told, and fail nothing")
	require.Empty(t, stderr)
	require.Equal(t, "DIR/policy.yaml:11: rule \"pinned\": decides no case\n2 passed, 0 failed\n",
		strings.ReplaceAll(stdout, dir, "DIR"))

	code, stdout, _ = run("test", "--run", "^tag", dir)
	require.Equal(t, exitOK, code)
	require.Equal(t, "2 passed, 0 failed\n", stdout,
		"with some cases left out, nothing is said of rules")
}

func TestTestJSON(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{"policy.yaml": testPolicy, "a.test.yaml": failingCases})
	code, stdout, _ := run("test", "--format", "json", dir)
	require.Equal(t, exitFindings, code)
	var report struct {
		Suites []struct {
			File, Policy string
			Cases        []struct {
				Name     string
				Line     int
				Passed   bool
				Failures []string
				Decision struct{ Verdict string }
			}
		}
		NotHit []struct {
			Policy, Rule, File string
			Line               int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Len(t, report.Suites, 1)
	require.Equal(t, filepath.Join(dir, "a.test.yaml"), report.Suites[0].File)
	require.Equal(t, filepath.Join(dir, "policy.yaml"), report.Suites[0].Policy)
	cases := report.Suites[0].Cases
	require.Len(t, cases, 2)
	require.Equal(t, []any{"refused <&", 3, false, "deny"},
		[]any{cases[0].Name, cases[0].Line, cases[0].Passed, cases[0].Decision.Verdict})
	require.Len(t, cases[0].Failures, 3)
	require.True(t, cases[1].Passed)
	require.Len(t, report.NotHit, 1)
	require.Equal(t, "pinned", report.NotHit[0].Rule)
}

func TestTestJUnit(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{"policy.yaml": testPolicy, "a.test.yaml": failingCases})
	code, stdout, _ := run("test", "--format", "junit", dir)
	require.Equal(t, exitFindings, code)
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="DIR/a.test.yaml" tests="2" failures="1" errors="0">
    <testcase name="refused &lt;&amp;" classname="DIR/a.test.yaml" file="DIR/a.test.yaml" line="3">
      <failure message="the verdict is deny, and should be allow">the verdict is deny, and should be allow&#xA;the rule is &#34;default&#34;, and should be &#34;dockerfile&#34;&#xA;the reason is: rule &#34;dockerfile&#34; would allow it, but only with the tag 1.*, not 2</failure>
    </testcase>
    <testcase name="tagged" classname="DIR/a.test.yaml" file="DIR/a.test.yaml" line="4"></testcase>
    <system-out>DIR/policy.yaml:11: rule &#34;pinned&#34;: decides no case&#xA;</system-out>
  </testsuite>
</testsuites>
`, strings.ReplaceAll(stdout, dir, "DIR"))
	require.NoError(t, xml.Unmarshal([]byte(stdout), new(struct{})))
}

func TestTestRefuses(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{
		"policy.yaml": testPolicy, "broken.yaml": "version: 2\n",
		"good/a.test.yaml":    strings.Replace(passing, "policy.yaml", "../policy.yaml", 1),
		"bad/a.test.yaml":     "cases: []\n",
		"nopolicy/a.yaml":     passing,
		"badpolicy/a.yaml":    strings.Replace(passing, "policy.yaml", "../broken.yaml", 1),
		"empty/policy.yaml":   testPolicy,
		"overlay/a.test.yaml": "policy: ../policy.yaml\noverlay: {file: none.yaml}\ncases:\n- {name: x, request: a, expect: {verdict: deny}}\n",
	})
	tests := []struct {
		name string
		args []string
		want string
	}{
		{
			"a file of cases that is broken",
			[]string{dir + "/bad"},
			dir + "/bad/a.test.yaml:1:1: the policy is missing",
		},
		{
			"a policy that isn't there",
			[]string{dir + "/nopolicy/a.yaml"},
			"names a file that can't be read: open " + dir + "/nopolicy/policy.yaml",
		},
		{
			"a policy that is broken",
			[]string{dir + "/badpolicy/a.yaml"},
			dir + "/broken.yaml:1:10: version 2",
		},
		{"an overlay that isn't there", []string{dir + "/overlay"}, "names a file that can't be read"},
		{
			"a folder without cases",
			[]string{dir + "/empty"},
			"no file in " + dir + "/empty ends in .test.yaml",
		},
		{
			"one such folder beside another",
			[]string{dir + "/good", dir + "/empty"},
			"no file in " + dir + "/empty",
		},
		{"a path that isn't there", []string{dir + "/none"}, "no such file"},
		{
			"no case of that name",
			[]string{"--run", "zebra", dir + "/good"},
			`no case has a name that matches "zebra"`,
		},
		{
			"no regular expression",
			[]string{"--run", "(", dir + "/good"},
			"--run needs a regular expression",
		},
		{
			"no format",
			[]string{"--format", "xml", dir + "/good"},
			`--format must be text, json, junit or github, not "xml"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"test"}, tt.args...)...)
			require.Equal(t, exitUsage, code, stdout)
			require.Contains(t, stderr, tt.want)
			require.NotContains(t, stdout, "no case:")
		})
	}
	code, stdout, _ := run("test", dir+"/good", dir+"/bad")
	require.Equal(t, exitUsage, code, "what can't be read outweighs what passed")
	require.Contains(t, stdout, "2 passed, 0 failed")
}

func TestTestTellsGitHub(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{
		"policy.yaml": testPolicy,
		"a.test.yaml": "policy: policy.yaml\ncases:\n- {name: 'a, b', request: 'docker/dockerfile:2', expect: allow}\n",
		"c.test.yaml": "policy: policy.yaml\ncases: [*x]\n",
		"b.test.yaml": "policy: none.yaml\ncases:\n- {name: a, request: a, expect: deny}\n",
	})
	code, stdout, _ := run("test", "--format", "github", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stdout, "::error file="+dir+"/a.test.yaml,line=3,col=1,title=a%2C b::the verdict "+
		"is deny, and should be allow%0A")
	require.Contains(t, stdout, "::error file="+dir+"/b.test.yaml,title=test::")
	require.Contains(t, stdout, "::error file="+dir+"/c.test.yaml,line=2,col=9,title=test::a value that")
	require.Contains(t, stdout, "\n0 passed, 1 failed\n")
}

func TestAFileThatCannotBeUsedIsAnErrorInReports(t *testing.T) {
	t.Parallel()
	dir := suiteFolderOf(t, map[string]string{"a.test.yaml": "policy: policy.yaml\ncases: [*x]\n"})
	code, stdout, stderr := run("test", "--format", "junit", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, dir+"/a.test.yaml:2:9: a value that begins with *")
	require.Contains(t, stdout, `tests="1" failures="0" errors="1"`)
	require.Contains(t, stdout, `<error message="`+dir+`/a.test.yaml:2:9: a value that begins with *`)

	_, stdout, _ = run("test", "--format", "json", dir)
	var report struct{ Errors []fileError }
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Len(t, report.Errors, 1)
	require.Equal(t, dir+"/a.test.yaml", report.Errors[0].File)
}

func TestTestCanRequireThatEachRuleDecides(t *testing.T) {
	t.Parallel()
	const cases = "policy: policy.yaml\ncases:\n- {name: a, request: 'docker/dockerfile:1.7', expect: allow}\n"
	dir := suiteFolderOf(t, map[string]string{"policy.yaml": testPolicy, "a.test.yaml": cases})
	code, _, _ := run("test", dir)
	require.Equal(t, exitOK, code)
	for format, want := range map[string]string{
		"text": `rule "pinned": decides no case`, "json": `"rule":"pinned"`,
		"junit": `<failure message="the rule decides no case">`, "github": "::error file=" + dir + "/policy.yaml,",
	} {
		code, stdout, _ := run("test", "--require-coverage", "--format", format, dir)
		require.Equal(t, exitFindings, code)
		require.Contains(t, stdout, want)
	}
	code, _, stderr := run("test", "--require-coverage", "--run", "a", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--require-coverage needs all cases")

	writeTo(t, dir, "a.test.yaml", cases+"- {name: b, request: docker/pinned, expect: undecidable}\n")
	code, stdout, _ := run("test", "--require-coverage", dir)
	require.Equal(t, exitOK, code, stdout)
}

func TestCasesJudgeFiles(t *testing.T) {
	t.Parallel()
	const policyText = `version: 1
dispatch: mediate
build: {images: {allow: ["docker.io/library/*"], deny: [busybox]}, exec: {networks: [none]}, config: {user: {forbid: [root]}}}
frontends: [{match: [docker/dockerfile]}]
`
	tests := []struct{ name, build, want string }{
		{"all is allowed", "dockerfile: ok/Dockerfile", ""},
		{"something is refused", "dockerfile: bad", "line 6: bad: line 2: the verdict is deny, and should be allow"},
		{"a refusal that is expected", "dockerfile: bad, expect: {verdict: deny, rule: build, reason: quay.io/x}", ""},
		{"a stage", "dockerfile: stages, target: ok", ""},
		{"all stages", "dockerfile: stages", "line 6: stages: line 4: the verdict is deny, and should be allow"},
		{"build-args", "dockerfile: args, args: {FROM: alpine}", ""},
		{"a build-arg that isn't given", "dockerfile: args, expect: undecidable", ""},
		{"what the base image may set", "dockerfile: base, expect: undecidable", ""},
		{"LLB", "llb: llb, expect: {verdict: deny, reason: build.images.deny}", ""},
		{"a file that isn't there", "dockerfile: none", "names a file that can't be read"},
		{"a file that links to outside", "dockerfile: link", "names a file that can't be read"},
		{"a directory", "llb: ok", "ok is not a regular file"},
		{"no Dockerfile", "dockerfile: policy.yaml", "policy.yaml:1: dockerfile parse error"},
		{"no LLB", "llb: bad", "bad: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := suiteFolderOf(t, map[string]string{
				"policy.yaml":   policyText,
				"ok/Dockerfile": "FROM alpine\nUSER app\n",
				"bad":           "# syntax=other/frontend\nFROM quay.io/x\nUSER app\n",
				"stages":        "FROM alpine AS ok\nUSER app\n\nFROM quay.io/x AS y\nUSER app\nFROM alpine\nUSER app\n",
				"args":          "ARG FROM\nFROM $FROM\nUSER app\n",
				"base":          "FROM alpine\n",
				"a.test.yaml": "policy: policy.yaml\ncases:\n- name: a\n  request: docker/dockerfile:1\n" +
					"  expect: allow\n  build: [{" + tt.build + "}]\n",
				"llb": string(exampleLLB()),
			})
			require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(dir, "link")))
			code, stdout, stderr := run("test", dir)
			if tt.want == "" {
				require.Equal(t, exitOK, code, stdout+stderr)
				return
			}
			require.NotEqual(t, exitOK, code)
			require.Contains(t, stdout+stderr, tt.want)
		})
	}
}
