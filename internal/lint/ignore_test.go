package lint_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

// findings checks a policy with its text, and returns the codes and places.
func findings(t *testing.T, doc string) []string {
	t.Helper()
	p, err := policy.Parse("p", []byte(doc))
	require.NoError(t, err)
	source := func(string) ([]byte, error) { return []byte(doc), nil }
	var out []string
	for _, f := range check("p", p, lint.Options{Source: source}) {
		out = append(out, fmt.Sprintf("%s %d:%d", f.Code, f.Line, f.Column))
	}
	return out
}

func TestFindingsAboutThePolicyHaveAPlace(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nid: x\ncontact: y\n"
	for _, tt := range []struct {
		name, doc string
		want      []string
	}{
		{"what is missing", "# ours\nversion: 1\n", []string{"missing-id 2:1", "missing-contact 2:1"}},
		{"a default", head + "default: allow\n", []string{"default-allow 4:1"}},
		{"a mode", head + "mode: warn\n", []string{"warn-mode 4:1"}},
		{"a frontend", head + "defaultFrontend: a\n", []string{"default-frontend-refused 4:1"}},
		{
			"an entry of a list", head + "dispatch: mediate\nbuild:\n  http:\n    allow:\n    - https://a.example/**\n" +
				"    - http://b.example/**\n",
			[]string{"plain-http 9:7"},
		},
		{
			"a field of a kind", head + "dispatch: mediate\nbuild:\n  exec: {networks: [host], insecure: true}\n",
			[]string{"insecure-exec 6:28", "host-network 6:21"},
		},
		{
			"several entries", head + "dispatch: mediate\nbuild:\n  images:\n    allow: [\"a.example/**\"]\n" +
				"    deny: [b.example/x, a.example/y, c.example/z]\n",
			[]string{"open-doors 6:3", "build-deny-without-effect 8:12", "build-deny-without-effect 8:38"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, tt.want, findings(t, tt.doc))
		})
	}
}

func TestFindingsAboutRulesHaveAPlace(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nid: x\ncontact: y\nfrontends:\n- name: a\n  match: [docker/x]\n"
	for _, tt := range []struct {
		name, doc string
		want      []string
	}{
		{
			"a name in another spelling", "version: 1\nid: x\ncontact: y\nfrontends:\n- name: a\n" +
				"  match:\n  - docker/dockerfile*\n  - docker.io/docker/x\n  - \"docker.io/**\"\n",
			[]string{"prefix-runs-on 7:5", "entry-repeated 7:5", "entry-repeated 8:5"},
		},
		{
			"tags", head + "  tags: [\"1\", latest]\n  exceptTags: [\"2\"]\n",
			[]string{"unbounded-tag 7:15", "except-without-effect 8:16"},
		},
		{"any tag", head + "  tags: [\"*\"]\n", []string{"any-tag 7:10"}},
		{"any version", head + "  versions: \"*\"\n", []string{"any-tag 7:3"}},
		{
			"an option", head + "  options:\n    deny: [\"b*\", FOO]\n    strip: [x, bar]\n    force: {BAR: x}\n",
			[]string{"option-name 8:18", "option-name 10:13", "option-without-effect 9:16"},
		},
		{
			"an expiry", head + "  expires: 2027-01-01\n  warnAfter: 2027-01-02\n",
			[]string{"warn-after-expiry 8:3"},
		},
		{
			"a pin", head + "  tags: [\"1\"]\naliases:\n- from: docker/y\n  to: docker/x\n  pins: {\"2\": \"" +
				digestA + "\"}\n",
			[]string{"pin-refused 11:10"},
		},
		{
			"build rules of a rule", head + "  dispatch: mediate\n  build:\n    others: deny\n" +
				"    images:\n      deny: [a.example/**, a.example/x]\n",
			[]string{"entry-repeated 11:28"},
		},
		{"a rule without a name", "version: 1\nid: x\ncontact: y\nfrontends:\n- match: [docker/x]\n", []string{"unnamed-rule 5:3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, tt.want, findings(t, tt.doc))
		})
	}
}

func TestCommentsAcceptFindings(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nid: x\ncontact: y\n"
	for _, tt := range []struct {
		name, doc string
		want      []string
	}{
		{"on the line", head + "default: allow # lint:ignore default-allow for the move\n", nil},
		{"above the line", head + "# lint:ignore default-allow for the move\ndefault: allow\n", nil},
		{
			"several above the line",
			"# lint:ignore missing-id a\n# more\n\n# lint:ignore missing-contact b\nversion: 1\n", nil,
		},
		{
			"of a rule", head + "frontends:\n# lint:ignore unnamed-rule it is the only one\n- match: [a]\n", nil,
		},
		{
			"of an entry, on its line", head + "frontends:\n- name: a\n  match:\n  - docker/x\n" +
				"  - docker/dockerfile* # lint:ignore prefix-runs-on ours\n", nil,
		},
		{
			"of an entry, where its rule begins", head + "frontends:\n- name: a # lint:ignore prefix-runs-on ours\n" +
				"  match:\n  - docker/dockerfile*\n", nil,
		},
		{
			"not on the line below", head + "default: allow\n# lint:ignore default-allow too late\n",
			[]string{"default-allow 4:1", "ignore-unused 5:1"},
		},
		{
			"not another finding", head + "default: allow # lint:ignore warn-mode other\n",
			[]string{"default-allow 4:1", "ignore-unused 4:16"},
		},
		{
			"not without a reason", head + "default: allow # lint:ignore default-allow\n",
			[]string{"default-allow 4:1", "ignore-invalid 4:16"},
		},
		{
			"not a code that doesn't exist", head + "default: allow # lint:ignore default-alow x\n",
			[]string{"default-allow 4:1", "ignore-invalid 4:16"},
		},
		{"not without a code", head + "# lint:ignore\n", []string{"ignore-invalid 4:1"}},
		{"no errors", head + "# lint:ignore invalid x\n", []string{"ignore-invalid 4:1"}},
		{
			"not their own findings", head + "# lint:ignore ignore-unused x\n# lint:ignore warn-mode y\n",
			[]string{"ignore-invalid 4:1", "ignore-unused 5:1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, tt.want, findings(t, tt.doc))
		})
	}
}
