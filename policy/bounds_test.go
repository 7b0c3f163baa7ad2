package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
)

// What is built to cost much is refused, or costs no more than its size.
func TestParseOfHostileDocuments(t *testing.T) {
	t.Parallel()
	fill := func(s string) string { return strings.Repeat(s, MaxSize/8/len(s)) }
	bomb := "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 30 {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	tests := []struct{ name, doc, want string }{
		{"aliases that explode", bomb, `p:2:1: unknown field "a0"`},
		{
			"aliases that explode in a field", strings.Replace(bomb, "a0: &a0", "frontends: &a0", 1),
			"p:2:12: the anchor &a0 is not allowed",
		},
		{
			"an anchor in itself", "version: 1\nfrontends: &a [*a]\n",
			"p:2:12: the anchor &a is not allowed",
		},
		{"brackets in brackets", fill("["), "p:1: not valid YAML: exceeded max depth"},
		{"braces in braces", fill("{a: "), "p:1: not valid YAML: exceeded max depth"},
		{"dashes in dashes", fill("- "), "p:1: not valid YAML: exceeded max depth"},
		{"unknown fields", "version: 1\n" + fill("x: 1\n"), `p:2:1: unknown field "x"`},
		{"rules without a value", "version: 1\nfrontends:\n" + fill("-\n"), "entries, more than 100000"},
		{
			"patterns", "version: 1\nfrontends:\n- match: [" + fill("a,") + "a]\n",
			"p:3:10: match has 262145 entries, more than 100000",
		},
		{"one long text", "version: 1\nid: " + fill("a") + "\n", "p:2:5: id is too long"},
		{"one long key", "version: 1\n? " + fill("a") + "\n: b\n", "unknown field \"aaa"},
		{"nothing but comments", fill("# c\n"), "p: the document is empty"},
		{"nothing but line ends", fill("\r\n"), "p: the document is empty"},
		{"documents", "version: 1\n" + fill("---\n"), "p:2:1: a second document begins here"},
		{
			"a wrong byte at the end", "version: 1\r\n# " + fill("x") + "\r\nid: \xff",
			"p:3:5: the document is not UTF-8",
		},
		{"half a character at the end", "version: 1\nid: \xe2\x82", "p:2:5: the document is not UTF-8"},
		{
			"a problem after many lines",
			"version: 1\n" + strings.Repeat("# c\r\n", 70_000) + "id: \"\\0\"\n",
			"p:70002:5: id has the character U+0000",
		},
		{"a problem after wide characters", "version: 1\n\"é€😀\": x\n", "p:2:1: unknown field \"é€😀\""},
		{
			"a problem behind wide characters", "{\"version\": 1, \"id\": \"é€😀\", x: 1}\n",
			`p:1:29: unknown field "x"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte(tt.doc))
			var e *ParseError
			require.ErrorAs(t, err, &e)
			require.Contains(t, err.Error(), tt.want)
			require.LessOrEqual(t, len(e.Problems), strictyaml.MaxProblems)
			require.Less(t, len(err.Error()), 8192)
		})
	}
}

// Four times the rules take about four times the work, which allocations measure
// and a clock doesn't.
func TestParsingGrowsLinearly(t *testing.T) {
	allocations := func(rules int) float64 {
		data := manyRules(rules)
		return testing.AllocsPerRun(1, func() {
			_, err := Parse("p", data)
			require.NoError(t, err)
		})
	}
	require.Less(t, allocations(8000)/allocations(2000), 4.2)
}

// Deciding asks no rule that can't be for the name: a hundred times the rules
// take no more work.
func TestDecidingDoesNotGrow(t *testing.T) {
	allocations := func(rules int) float64 {
		l := mustStack(t, string(manyRules(rules)), "")
		r := request(t, "docker/dockerfile:1")
		return testing.AllocsPerRun(10, func() { require.Equal(t, Allow, Decide(l, r).Verdict) })
	}
	require.InDelta(t, allocations(50), allocations(5000), 2)

	l := mustStack(t, string(manyRules(5000)), "")
	require.Equal(t, []int{4999}, l.embedded.index.Find("docker.io/docker/dockerfile"))
	require.Less(t, len(l.embedded.index.Find("corp.example/team-43/old-x")), 3)
}

func TestAllowedOfManyRules(t *testing.T) {
	t.Parallel()
	l := mustStack(t, string(manyRules(5000)), "")
	d := Decide(l, request(t, "docker/dockerfle:1"))
	require.Equal(t, "no rule allows docker/dockerfle:1; did you mean docker/dockerfile?", d.Reason)
	require.Len(t, d.Allowed, 5)
	require.Equal(t, "docker/dockerfile", d.Allowed[0])
}

// A pattern that could be tried in very many ways is tried in few.
func TestSlowPatterns(t *testing.T) {
	t.Parallel()
	stars := strings.Repeat("a*", 200) + "b"
	folders := strings.Repeat("**/a*/", 60) + "b"
	l := mustStack(t,
		fmt.Sprintf(
			"version: 1\nfrontends:\n- {match: [x.example/%s, \"x.example/%s\"], tags: [\"%s\"]}\n- {match: [\"x.example/**\"], options: {deny: [\"%s\"]}}\n",
			stars, folders, strings.Repeat("a*", 60)+"b", strings.Repeat("a*", 120)+"b"), "")
	r := request(t,
		"x.example/"+strings.Repeat("a/", 100)+strings.Repeat("a", 50)+":"+strings.Repeat("a", 128))
	r.Options = map[string]string{strings.Repeat("a", 4096): ""}
	require.Equal(t, Allow, Decide(l, r).Verdict)
	r = request(t, "x.example/"+strings.Repeat("a", 240))
	require.Equal(t, Allow, Decide(l, r).Verdict)
}
