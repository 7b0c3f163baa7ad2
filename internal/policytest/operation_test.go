package policytest_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestRunChecksOperations(t *testing.T) {
	t.Parallel()
	const request, bad = "request: e, expect: {verdict: allow}, ", "rule \"judged\" refuses the image x.example/bad:1 (build.images.deny: **/bad)"
	tests := []struct {
		name, body string
		want       []string // failures
	}{
		{"what is allowed needs no expectation", "build: [{image: x}, {exec: {ssh: [default]}}]", nil},
		{"what is denied needs one", "build: [{image: 'x.example/bad:1'}]", []string{
			"line 3: the image x.example/bad:1: the verdict is deny, and should be allow", "line 3: the image x.example/bad:1: the reason is: " + bad,
		}},
		{
			"what is expected",
			"build: [{image: 'x.example/bad:1', expect: {verdict: deny, rule: judged, reason: " +
				"images.deny}}, {exec: {network: host}, expect: {verdict: deny, rule: build}}]",
			nil,
		},
		{"another rule", "build: [{image: 'x.example/bad:1', expect: {verdict: deny, rule: build}}]", []string{
			`line 3: the image x.example/bad:1: the rule is "judged", and should be "build"`, "line 3: the image x.example/bad:1: the reason is: " + bad,
		}},
		{"another reason", "build: [{image: 'x.example/bad:1', expect: {verdict: deny, reason: because}}]", []string{
			`line 3: the image x.example/bad:1: the reason does not have "because"`, "line 3: the image x.example/bad:1: the reason is: " + bad,
		}},
		{"an image that is read instead", "build: [{image: good, expect: {verdict: allow, image: m.example/good}}]", nil},
		{"another image that is read instead", "build: [{image: good, expect: {verdict: allow, image: m.example/other}}]", []string{
			"line 3: the image good: the image that is read is m.example/good:latest, and should be m.example/other",
		}},
		{"no image that is read instead", "build: [{image: x, expect: {verdict: allow, image: m.example/x}}]", []string{
			"line 3: the image x: the image that is read is the requested one, and should be m.example/x",
		}},
		{"a file of which all is allowed", "build: [{dockerfile: good}, {llb: ./good}]", nil},
		{"a file of which something is denied", "build: [{dockerfile: bad, target: x, args: {A: ''}}]", []string{
			"line 3: bad: line 2: the verdict is deny, and should be allow", "line 3: bad: line 2: the reason is: " + bad,
		}},
		{
			"what is expected of a file",
			"build: [{llb: bad, expect: deny}, {dockerfile: bad, expect: {verdict: deny, rule: judged, reason: y.example}}]", nil,
		},
		{"another reason of all that a file is denied for", "build: [{llb: bad, expect: {verdict: deny, reason: because}}]", []string{
			`line 3: bad: line 2: the reason does not have "because"`, "line 3: bad: line 2: the reason is: " + bad,
		}},
		{"a denial of a file that is allowed", "build: [{llb: good, expect: deny}]", []string{
			"line 3: good: the verdict is allow, and should be deny",
		}},
		{"a nested frontend that no rule allows", "build: [{frontend: f, expect: {verdict: deny, rule: default}}]", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", request+tt.body)
			require.Equal(t, tt.want, got.Failures)
			require.NotEmpty(t, got.Build)
		})
	}
}

func TestParseRefusesOperations(t *testing.T) {
	t.Parallel()
	const head = "policy: p\ncases:\n- {name: x, request: a, expect: {verdict: allow}, build: ["
	tests := []struct{ name, body, want string }{
		{"no operation", "{}]}", "t:3:59: the entry is empty"},
		{"an expectation alone", "{expect: {verdict: deny}}]}", "t:3:59: the entry is empty"},
		{"two operations in one", "{image: a, local: b}]}", "t:3:59: the entry has several operations"},
		{"an unknown kind", "{imgae: a}]}", `t:3:60: unknown field "imgae"; did you mean "image"?`},
		{"an unknown field of a kind", "{git: {uri: a}}]}", `t:3:66: unknown field "uri"`},
		{"no verdict", "{image: a, expect: {rule: b}}]}", "t:3:78: expect has no verdict"},
		{"an invalid verdict", "{image: a, expect: {verdict: maybe}}]}", "t:3:88: verdict must be"},
		{
			"an operation and a file", "{image: a, dockerfile: b}]}",
			"t:3:59: the entry has several operations",
		},
		{"two files", "{llb: a, dockerfile: b}]}", "t:3:59: the entry has several operations"},
		{"a target without a file", "{target: a}]}", "t:3:59: target and args belong to a dockerfile"},
		{"a target of LLB", "{llb: a, target: a}]}", "t:3:59: target and args belong to a dockerfile"},
		{"build-args without a file", "{args: {A: b}}]}", "t:3:59: target and args belong to a dockerfile"},
		{"a file elsewhere", "{dockerfile: ../a}]}", `t:3:72: dockerfile must be in the directory of this file or below, not "../a"`},
		{"an absolute file", "{llb: /a}]}", `t:3:65: llb must be in the directory of this file or below, not "/a"`},
		{"an image of a file", "{llb: a, expect: {verdict: allow, image: b}}]}", "image is about one operation"},
		{"an invalid image", "{image: a, expect: {verdict: allow, image: A}}]}", "t:3:102: image:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policytest.Parse("t", []byte(head+tt.body))
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := policytest.Parse("t", []byte("policy: p\ncases:\n- {name: x, request: a, expect: {verdict: deny}, build: [{image: a}]}\n"))
	require.ErrorContains(t, err, "t:3:57: a frontend that doesn't run builds nothing")
}

// A case can have each kind of operation that there is, under the same name.
func TestFactsOfCasesAreThoseOfPolicies(t *testing.T) {
	t.Parallel()
	examples := map[string]string{
		"image": "a", "git": "{url: 'https://a.example'}", "http": "{url: 'https://a.example'}", "local": "a", "ociLayout": "a", "blob": "a",
		"exec": "{}", "download": "https://a.example", "container": "{}", "frontend": "a", "config": "{}", "unknown": "a",
	}
	kinds := reflect.TypeFor[buildrules.Operation]()
	require.Len(t, examples, kinds.NumField())
	for name, value := range examples {
		s, err := policytest.Parse("t", []byte("policy: p\ncases:\n- {name: x, request: a, expect: {verdict: allow}, build: [{"+name+": "+value+"}]}\n"))
		require.NoError(t, err)
		operation := reflect.ValueOf(s.Cases[0].Build[0].Operation)
		for i := range kinds.NumField() {
			tag := kinds.Field(i).Tag.Get("yaml")
			require.Equal(t, tag == name+",omitempty", !operation.Field(i).IsZero(), "%s: %s", name, tag)
		}
	}
}
