package policy

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// FuzzParse: no document makes Parse panic or its message act on a terminal, and
// a document that parses decides the same each time.
func FuzzParse(f *testing.F) {
	for _, doc := range []string{
		testPolicy, everyField, everyRuleOnBuilds, "", "version: 1", "version: 1\n---\n",
		"\ufeffversion: 1\r\n", `{"version":1,"default":"deny","DEFAULT":"allow"}`,
		"version: 1\nid: &a x\ncontact: *a\n<<: {}\n", "a: !!binary x\n", "? [a]\n: b\n",
		"version: 1\nfrontends:\n- {match: [\"**\"], tags: [1.10]}\n",
		"[[[[", "\xff", "version: 1\nid: \"\\e\"", "- - - -\n", "'", "%TAG ! x\n--- !<!a> b",
		"version: 0x1", "\"\": x", "version: 1_0",
	} {
		f.Add([]byte(doc))
	}
	r, err := imageref.Parse("docker/dockerfile:1")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("p", data)
		if err != nil {
			var e *ParseError
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Problems)
			require.LessOrEqual(t, len(e.Problems), strictyaml.MaxProblems)
			for _, problem := range e.Problems {
				require.Equal(t, -1, strings.IndexFunc(problem.String(), unicode.IsControl), "%q",
					problem.String())
				require.Less(t, len(problem.String()), 4096)
			}
			return
		}
		again, err := Parse("p", data)
		require.NoError(t, err)
		require.Equal(t, p, again)
		l, err := Stack(p, again)
		if err != nil {
			require.Equal(t, AcceptNone, p.doc.Overlay.Accept)
			return
		}
		alone, err := Stack(p, nil)
		require.NoError(t, err)
		for _, req := range []Request{{Reference: r}, {Reference: r, Digest: digestA}} {
			d := Decide(alone, req)
			require.Equal(t, d, Decide(alone, req))
			require.Equal(t, d.Verdict, Decide(l, req).Verdict, "a policy on itself changes no verdict")
		}
	})
}
