package lint_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	head    = "version: 1\nid: x\ncontact: y\nfrontends:\n"
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		want      []string // code, rule and position
	}{
		{
			"a careful policy has no findings",
			head +
				"- {name: a, match: [docker/dockerfile], tags: [\"1.*\"]}\n- {name: b, match: [\"corp.example/**\", docker/*]}\n", nil,
		},
		{
			"a default that allows", "{version: 1, id: x, contact: y, default: allow}",
			[]string{"default-allow  0:0"},
		},
		{
			"LLB without build rules", "llb: allow\n" + head + "- {name: a, match: [docker/dockerfile]}\n",
			[]string{"needs-guard  0:0", "llb-unjudged  0:0"},
		},
		{
			"LLB under build rules", "llb: allow\nbuild: {exec: {networks: [none]}}\n" + head +
				"- {name: a, match: [docker/dockerfile]}\n", []string{"needs-guard  0:0"},
		},
		{
			"nothing that names the policy or whom to ask", "version: 1\n",
			[]string{"missing-id  0:0", "missing-contact  0:0"},
		},
		{"a rule without a name", head + "- match: [a]\n", []string{"unnamed-rule frontends[0] 5:3"}},
		{
			"an allow rule for everything", head + "- {name: a, match: [\"**\"]}\n",
			[]string{"match-everything a 5:3"},
		},
		{
			"an allow rule for everything, in other words", head + "- {name: a, match: [\"**/*\"]}\n",
			[]string{"match-everything a 5:3"},
		},
		{
			"an allow rule for everything but pinned is fine",
			head + "- {name: a, match: [\"**\"], digests: [\"" + digestA + "\"]}\n", nil,
		},
		{
			"a deny rule for everything is fine", head + "- {name: a, match: [\"**\"], action: deny}\n",
			nil,
		},
		{
			"a pattern that runs on", head + "- {name: a, match: [docker/dockerfile*]}\n",
			[]string{"prefix-runs-on a 5:3"},
		},
		{
			"a host pattern that runs on", head + "- {name: a, match: [\"corp.example*/x\"]}\n",
			[]string{"prefix-runs-on a 5:3"},
		},
		{
			"a deny rule that runs on is fine",
			head + "- {name: a, match: [docker/dockerfile*], action: deny}\n", nil,
		},
		{
			"a star in front doesn't run on", head + "- {name: a, match: [\"*.corp.example/*-frontend\"]}\n",
			nil,
		},
		{
			"the tag that is any", head + "- {name: a, match: [a], tags: [\"*\"]}\n",
			[]string{"any-tag a 5:3"},
		},
		{
			"bounds that can be read in two ways",
			head + "- {name: a, match: [a], versions: \"<=1.7\"}\n" +
				"- {name: b, match: [b], versions: \">1.7\", action: deny}\n" +
				"- {name: c, match: [c], versions: \"~>1.7 || 1.2 - 1.4\"}\n",
			[]string{"partial-bound a 5:3", "partial-bound b 6:3", "partial-bound c 7:3"},
		},
		{
			"such a bound in a rule on images",
			head + "- name: a\n  match: [a]\n  dispatch: mediate\n" +
				"  build: {images: [{name: i, match: [a], versions: \"<=1.7\"}], others: deny}\n",
			[]string{"partial-bound a 5:3"},
		},
		{
			"a range without an end",
			head + "- {name: a, match: [a], versions: \">=1.4.0\"}\n" +
				"- {name: b, match: [b], versions: \">=1.4 <2 || >=3\"}\n",
			[]string{"open-range a 5:3", "open-range b 6:3"},
		},
		{
			"a range without an end in a rule on images",
			head + "- name: a\n  match: [a]\n  dispatch: mediate\n" +
				"  build: {images: [{name: i, match: [a], versions: \">=1.4\"}], others: deny}\n",
			[]string{"open-range a 5:3"},
		},
		{
			"a range that has no dates is fine",
			head + "- {name: a, match: [a], versions: \">=2026.3 <10000\"}\n" +
				"- {name: b, match: [b], versions: \">=1.4\", action: deny}\n" +
				"- {name: c, match: [docker/dockerfile], versions: \">=1.4\", dispatch: builtin}\n" +
				"- {name: d, match: [d], versions: \">=1.4\", digests: [\"" + digestA + "\"]}\n",
			[]string{"tags-and-digests d 8:3"},
		},
		{
			"bounds that have one reading",
			head + "- {name: a, match: [a], versions: \">=1.7 <2 || ~1.7 || ^1.7 || 1.7 || 2.x\"}\n" +
				"- {name: b, match: [b], versions: \">1.6.0 <=1.7.0 || 1.2 - 1.4.x\", action: deny}\n",
			nil,
		},
		{
			"patterns with zeros that miss other spellings",
			head + "- {name: a, match: [a], tags: [\"2026.0*\"], action: deny}\n" +
				"- {name: b, match: [b], tags: [\"v2026.01.*\"], action: deny}\n" +
				"- {name: c, match: [c], exceptTags: [\"1.05*\"]}\n",
			[]string{"zero-padded-tag a 5:3", "zero-padded-tag c 7:3"}, // v2026.01.* is read as 2026.1.*
		},
		{
			"patterns with zeros that miss nothing",
			head + "- {name: z, match: [a, b, c]}\n" +
				"- {name: a, match: [a], tags: [\"1.0*\", \"0.*\", \"2026.10*\", \"2026.01\"], action: deny}\n" +
				"- {name: b, match: [b], tags: [\"2026.0*\"], versions: \"2026.x\", action: deny}\n" +
				"- {name: c, match: [c], tags: [\"*0*\"], action: deny}\n",
			[]string{"entry-without-effect b 7:3"}, // Its versions are for that too.
		},
		{
			"a rule after one that takes all of it",
			head + "- {name: a, match: [a, b]}\n- {name: b, match: [docker.io/library/b], tags: [\"1\"]}\n",
			[]string{"shadowed b 6:3"},
		},
		{
			"a rule under a deny rule, before or after",
			head + "- {name: a, match: [a]}\n- {name: b, match: [a], action: deny}\n",
			[]string{"shadowed a 5:3"},
		},
		{
			"a rule under a deny rule for everything",
			head + "- {name: a, match: [a]}\n- {name: b, match: [\"**\"], action: deny}\n",
			[]string{"shadowed a 5:3"},
		},
		{
			"a rule after one with fewer tags",
			head + "- {name: a, match: [a], tags: [\"1\"]}\n- {name: b, match: [a], tags: [\"1\", \"2\"]}\n",
			[]string{"entry-without-effect b 6:3"},
		},
		{
			"a rule after one with the same tags and more",
			head + "- {name: a, match: [a], tags: [\"1\", \"2\"]}\n- {name: b, match: [a], tags: [\"1\"]}\n",
			[]string{"shadowed b 6:3"},
		},
		{
			"a rule after one with digests is fine",
			head + "- {name: a, match: [a], digests: [\"" + digestA + "\"]}\n- {name: b, match: [a]}\n",
			nil,
		},
		{
			"a rule after one that requires a digest is fine",
			head + "- {name: a, match: [a], requireDigest: true}\n- {name: b, match: [a]}\n", nil,
		},
		{
			"a rule before one for the same name and more",
			head + "- {name: a, match: [a]}\n- {name: b, match: [a, b]}\n",
			[]string{"entry-without-effect b 6:3"},
		},
		{
			"a rule before a wider one is fine",
			head + "- {name: a, match: [docker/a]}\n- {name: b, match: [docker/*]}\n", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte(tt.doc))
			require.NoError(t, err)
			var got []string
			for _, f := range check("p", p, lint.Options{Time: time.Time{}}) {
				got = append(got, fmt.Sprintf("%s %s %d:%d", f.Code, f.Rule, f.Line, f.Column))
				require.NotEmpty(t, f.Message)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// Checked one by one, so many aliases and rules take more than ten times as long.
func BenchmarkCheckManyAliasesAndRules(b *testing.B) {
	var doc strings.Builder
	doc.WriteString("version: 1\nid: x\ncontact: y\naliases:\n")
	for i := range 40_000 {
		fmt.Fprintf(&doc, "- {from: docker.io/a%d/b, to: m.example/a%[1]d/b}\n", i)
	}
	doc.WriteString("frontends:\n- {name: all, match: [\"m.example/**\"]}\n")
	for i := range 10_000 {
		fmt.Fprintf(&doc, "- {name: r%d, action: deny, message: x, match: [c.example/a%[1]d]}\n", i)
	}
	p, err := policy.Parse("policy.yaml", []byte(doc.String()))
	require.NoError(b, err)
	for b.Loop() {
		require.Empty(b, lint.Check("policy.yaml", p, lint.Options{}))
	}
}
