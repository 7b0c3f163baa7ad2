package policytest_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

	testPolicy = `version: 1
frontends:
  - {name: tagged, match: [a], tags: ["1.*"], message: hello, options: {deny: [secret], inputs: deny}}
  - {name: pinned, match: [b], digests: ["` + digestA + `"]}
  - {name: ending, match: [c], warnAfter: 2027-01-01, expires: 2027-03-01}
  - {name: unused, match: [d]}
  - {name: judged, match: [e], dispatch: mediate, build: {images: {deny: ["**/bad"], convert: [{from: good, to: m.example/good}]}}}
build: {exec: {ssh: true}}
`
	testOverlay = "version: 1\nfrontends:\n- {name: team, match: [a], tags: [\"1.7\"]}\n"
)

// folder holds the files of the tests.
type folder fstest.MapFS

func files() folder {
	return folder{
		"policy.yaml": {Data: []byte(testPolicy)},
		"team.yaml":   {Data: []byte(testOverlay)},
		"good":        {Data: []byte("x y")},
		"bad":         {Data: []byte("x x.example/bad:1 y.example/bad")},
		"closed.yaml": {Data: []byte("{version: 1, overlay: {accept: none}}")},
	}
}

func (f folder) Policy(name string) (*policy.Policy, error) {
	return policy.Load(fstest.MapFS(f), name)
}

func (f folder) Overlay(name string) (*policy.Policy, error) {
	data, err := fs.ReadFile(fstest.MapFS(f), name)
	if err != nil {
		return nil, err
	}
	return policy.ParseOverlay(name, data)
}

// Judge answers for each image that a line of the file names.
func (f folder) Judge(q policytest.Question) ([]opcheck.Answer, error) {
	data, err := fs.ReadFile(fstest.MapFS(f), cmp.Or(q.File.Dockerfile, q.File.LLB))
	var out []opcheck.Answer
	for i, name := range strings.Fields(string(data)) {
		a := opcheck.Check(q.Layers, q.Request, q.Decision, buildrules.Operation{Image: name})
		a.At = fmt.Sprintf("line %d", i+1)
		if a.Verdict != policy.Allow {
			out = append(out, a)
		}
	}
	return out, err
}

func all(string) bool { return true }

// run runs a suite with one case.
func run(t *testing.T, head, body string) policytest.Result {
	t.Helper()
	s, err := policytest.Parse("t",
		[]byte("policy: policy.yaml\n"+head+"cases:\n- {name: x, "+body+"}\n"))
	require.NoError(t, err)
	results, err := s.Run(files(), all)
	require.NoError(t, err)
	require.Len(t, results, 1)
	return results[0]
}

func TestRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, head, body string
		want             []string // failures, but for the reason that follows them
		rule             string   // that decides in the policy
	}{
		{
			"what is expected", "",
			"request: a:1.7, expect: {verdict: allow, rule: tagged, source: 'docker.io/library/a:1.7', " +
				"reason: allows, messages: [hell]}",
			nil,
			"tagged",
		},
		{"another verdict", "", "request: a:2, expect: {verdict: allow}", []string{"the verdict is deny, and should be allow"}, "default"},
		{"another rule", "", "request: a:1.7, expect: {verdict: allow, rule: pinned}", []string{`the rule is "tagged", and should be "pinned"`}, "tagged"},
		{
			"another source", "", "request: a:1.7, expect: {verdict: allow, source: a:1.8}",
			[]string{"the source is docker.io/library/a:1.7, and should be a:1.8"},
			"tagged",
		},
		{"another reason", "", "request: a:1.7, expect: {verdict: allow, reason: because}", []string{`the reason does not have "because"`}, "tagged"},
		{"a missing message", "", "request: a:1.7, expect: {verdict: allow, messages: [hello, bye]}", []string{`no message has "bye"`}, "tagged"},
		{"a missing warning", "", "request: a:1.7, expect: {verdict: allow, warnings: [soon]}", []string{`no warning has "soon"`}, "tagged"},
		{"a digest that isn't known", "", "request: b, expect: {verdict: undecidable, rule: pinned}", nil, "pinned"},
		{"a digest", "", "request: b, digest: '" + digestA + "', expect: {verdict: allow}", nil, "pinned"},
		{"an option", "", "request: a:1.7, options: {secret: '1'}, expect: {verdict: deny, reason: secret}", nil, "tagged"},
		{"an input", "", "request: a:1.7, inputs: [base], expect: {verdict: deny, reason: base}", nil, "tagged"},
		{"an unknown time is late", "", "request: c, expect: {verdict: deny}", nil, "default"},
		{"a time before a rule warns", "", "request: c, at: 2026-12-31T23:59:59Z, expect: {verdict: allow}", nil, "ending"},
		{"a time when a rule warns", "", "request: c, at: 2027-01-01, expect: {verdict: warn, warnings: ['2027-03-01']}", nil, "ending"},
		{"a time for all cases", "at: 2026-12-31\n", "request: c, expect: {verdict: allow}", nil, "ending"},
		{"a time instead of that for all cases", "at: 2026-12-31\n", "request: c, at: 2027-02-01, expect: {verdict: warn}", nil, "ending"},
		{"an overlay from a file", "", "request: a:1.6, overlay: {file: team.yaml}, expect: {verdict: deny, rule: default}", nil, "tagged"},
		{"an overlay for all cases", "overlay: {file: team.yaml}\n", "request: a:1.6, expect: {verdict: deny}", nil, "tagged"},
		{
			"no overlay instead of that for all cases", "overlay: {file: team.yaml}\n",
			"request: a:1.6, overlay: {none: true}, expect: {verdict: allow}", nil,
			"tagged",
		},
		{"an overlay as text", "", `request: a:1.7, overlay: {text: "version: 1\n"}, expect: {verdict: deny}`, nil, "tagged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, tt.head, tt.body)
			if tt.want != nil {
				tt.want = append(tt.want, "the reason is: "+got.Decision.Reason)
			}
			require.Equal(t, tt.want, got.Failures)
			require.Equal(t, tt.rule, got.Rule)
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const head, ok = "policy: p\ncases:\n", "expect: {verdict: deny}"
	tests := []struct{ name, doc, want string }{
		{"an empty file", "", "t: the document is empty"},
		{"a file that is too long", "#" + strings.Repeat("x", policytest.MaxSize), "more than"},
		{"no policy", "cases:\n- {name: x, request: a, " + ok + "}\n", "t:1:1: the policy is missing"},
		{
			"a policy by its absolute path", "policy: /p\ncases:\n- {name: x, request: a, " + ok + "}\n",
			"t:1:9: policy must be relative",
		},
		{"no cases", "policy: p\n", "t:1:1: there are no cases"},
		{"an empty list of cases", "policy: p\ncases: []\n", "t:2:8: there are no cases"},
		{"an unknown field", head + "- {name: x, request: a, expects: {}}\n", `t:3:25: unknown field "expects"; did you mean "expect"?`},
		{"a field twice", head + "- {name: x, name: y}\n", `t:3:13: duplicate field "name"`},
		{"a case without a name", head + "- {request: a, " + ok + "}\n", "t:3:3: the case has no name"},
		{"a name twice", head + "- {name: x, request: a, " + ok + "}\n- {name: x, request: a, " + ok + "}\n", `t:4:10: the case on line 3 already has the name "x"`},
		{"an invalid request", head + "- {name: x, request: A/x, " + ok + "}\n", "t:3:22: request:"},
		{
			"an invalid digest", head + "- {name: x, request: a, digest: b, " + ok + "}\n",
			"t:3:33: digest:",
		},
		{
			"an option of the policy frontend's own",
			head + "- {name: x, request: a, options: {'build-arg:POLICY_FRONTEND_POLICY': x}, " + ok + "}\n",
			"is the policy frontend's own",
		},
		{
			"an invalid time", head + "- {name: x, request: a, at: noon, " + ok + "}\n",
			`t:3:29: at: "noon" is not a time`,
		},
		{
			"an invalid time for all cases", "at: noon\n" + head + "- {name: x, request: a, " + ok + "}\n",
			`t:1:5: at: "noon" is not a time`,
		},
		{
			"a case that expects nothing", head + "- {name: x, request: a}\n",
			"t:3:3: expect has no verdict",
		},
		{"a case that expects no verdict", head + "- {name: x, request: a, expect: {rule: b}}\n", "t:3:33: expect has no verdict"},
		{
			"an invalid verdict", head + "- {name: x, request: a, expect: {verdict: maybe}}\n",
			`t:3:43: verdict must be allow, deny, warn or undecidable, not "maybe"`,
		},
		{
			"an invalid source", head + "- {name: x, request: a, expect: {verdict: deny, source: A/x}}\n",
			"t:3:57: source:",
		},
		{
			"two overlays", head + "- {name: x, request: a, overlay: {file: b, none: true}, " + ok + "}\n",
			"t:3:34: the overlay has more than one of file, text and none",
		},
		{
			"an overlay by its absolute path", head + "- {name: x, request: a, overlay: {file: /b}, " + ok + "}\n",
			"t:3:41: overlay must be relative",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policytest.Parse("t", []byte(tt.doc))
			var broken *strictyaml.Error
			require.ErrorAs(t, err, &broken)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "a policy begins")
		})
	}
}

func TestParseCountsOmittedProblems(t *testing.T) {
	t.Parallel()
	var doc strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&doc, "x%d: 1\n", i)
	}
	_, err := policytest.Parse("t", []byte(doc.String()))
	require.ErrorContains(t, err, "\nand 2990 more")
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, policy, overlay, want string }{
		{"a policy that isn't there", "other.yaml", "{none: true}", "other.yaml"},
		{"an overlay that isn't there", "policy.yaml", "{file: other.yaml}", "other.yaml"},
		{
			"an invalid overlay", "policy.yaml", `{text: "version: 2"}`,
			`t (overlay of "x"):1:10: version 2`,
		},
		{
			"an overlay on a policy that accepts none", "closed.yaml", "{file: team.yaml}",
			"t:3: the policy accepts no overlay",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := policytest.Parse("t", []byte("policy: "+tt.policy+"\ncases:\n- {name: x, request: a, overlay: "+tt.overlay+", expect: {verdict: deny}}\n"))
			require.NoError(t, err)
			_, err = s.Run(files(), all)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestRunSelects(t *testing.T) {
	t.Parallel()
	s, err := policytest.Parse("t", []byte("policy: policy.yaml\ncases:\n- {name: x, request: a, expect: {verdict: deny}}\n- {name: y, request: a, expect: {verdict: deny}}\n"))
	require.NoError(t, err)
	results, err := s.Run(files(), func(name string) bool { return name == "y" })
	require.NoError(t, err)
	require.Len(t, results, 1)
	require.Equal(t, "y", results[0].Case.Name)
	require.Equal(t, 4, results[0].Case.Line)
}

func TestNotHit(t *testing.T) {
	t.Parallel()
	p, err := files().Policy("policy.yaml")
	require.NoError(t, err)
	var names []string
	for _, r := range policytest.Uncovered(p, map[string]bool{"tagged": true, "ending": true, "default": true}) {
		names = append(names, r.Name)
	}
	require.Equal(t, []string{"pinned", "unused", "judged"}, names)
}

// FuzzParse: what isn't a suite is a *strictyaml.Error, and what is one has names and
// verdicts throughout.
func FuzzParse(f *testing.F) {
	f.Add("policy: p\ncases:\n- {name: x, request: a, expect: {verdict: deny}}\n")
	f.Add("policy: p\nat: 2027-01-01\noverlay: {text: \"version: 1\"}\ncases:\n- {name: x, request: a, options: {a: b}, inputs: [c], expect: {verdict: allow, messages: [m]}}\n")
	f.Add("cases: [[]]")
	f.Add("policy: p\ncases:\n- {name: x,expect: {verdict: deny}}")
	f.Fuzz(func(t *testing.T, doc string) {
		s, err := policytest.Parse("t", []byte(doc))
		if err != nil {
			var broken *strictyaml.Error
			require.ErrorAs(t, err, &broken)
			require.NotEmpty(t, broken.Problems)
			return
		}
		require.NotEmpty(t, s.Policy)
		require.NotEmpty(t, s.Cases)
		for _, c := range s.Cases {
			require.NotEmpty(t, c.Name)
			require.NotEmpty(t, c.Expect.Verdict)
			require.Equal(t, c.Request.Requested != "", c.Request.Reference.Name() != "",
				"without a request, the build names no frontend")
		}
	})
}

func TestSeveralRequestsAndShortForms(t *testing.T) {
	t.Parallel()
	s, err := policytest.Parse("t", []byte(`policy: policy.yaml
cases:
- {name: several, request: ['a:1.7', 'a:2', e], expect: allow}
- {name: refused, request: z, expect: deny}
- name: judged
  request: e
  expect: allow
  build:
  - image: x
  - {image: bad, expect: deny}
`))
	require.NoError(t, err)
	results, err := s.Run(files(), all)
	require.NoError(t, err)
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%s %d %t", r.Case.Name, r.Case.Line, len(r.Failures) == 0))
	}
	require.Equal(t, []string{
		"several (a:1.7) 3 true", "several (a:2) 3 false", "several (e) 3 true", "refused 4 true",
		"judged 5 true",
	}, got)
}

func TestARequestForTheDaemonsDockerfileFrontendIsForTheDefault(t *testing.T) {
	t.Parallel()
	f := files()
	f["default.yaml"] = &fstest.MapFile{
		Data: []byte("version: 1\ndefaultFrontend: b:1\nfrontends: [{name: b, match: [b]}]\n"),
	}
	s, err := policytest.Parse("t", []byte("policy: default.yaml\ncases: "+
		"[{name: x, request: dockerfile.v0, expect: {verdict: allow, rule: b, source: 'b:1'}}]"))
	require.NoError(t, err)
	results, err := s.Run(f, all)
	require.NoError(t, err)
	require.Empty(t, results[0].Failures)
}

func TestACaseWithoutARequestIsABuildThatNamesNoFrontend(t *testing.T) {
	t.Parallel()
	f := files()
	f["default.yaml"] = &fstest.MapFile{Data: []byte("version: 1\ndefaultFrontend: b:1\nfrontends: [{name: b, match: [b]}]\n")}
	f["other.yaml"] = &fstest.MapFile{Data: []byte("version: 1\ndefaultFrontend: c\ndefault: allow\n")}
	for _, tt := range []struct{ name, doc, reason string }{
		{
			"the policy's default", "policy: default.yaml\ncases: [{name: x, expect: {verdict: allow, rule: b, source: 'b:1'}}]",
			"",
		},
		{"the overlay's default", "policy: default.yaml\noverlay: {file: other.yaml}\ncases: [{name: x, expect: deny}]", "no rule allows c"},
		{"no default", "policy: policy.yaml\ncases: [{name: x, expect: deny}]", "the policy has no defaultFrontend"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := policytest.Parse("t", []byte(tt.doc))
			require.NoError(t, err)
			results, err := s.Run(f, all)
			require.NoError(t, err)
			require.Empty(t, results[0].Failures)
			require.Contains(t, results[0].Decision.Reason, tt.reason)
		})
	}
}
