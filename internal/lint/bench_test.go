package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

// BenchmarkCheck checks long policies in which many rules could meet many others.
func BenchmarkCheck(b *testing.B) {
	many := func(n int, line string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, strings.ReplaceAll(line, "N", "%[1]d")+"\n", i)
		}
		return text.String()
	}
	for _, input := range []struct{ name, doc string }{
		{
			"6000RulesOnOpenHosts",
			head + many(6000, `- {name: aN, match: ["*.corp.example/team-N/**"], tags: ["1.*"]}`),
		},
		{
			"3000RulesAndDenialsOnOpenHosts",
			head + many(3000, `- {name: aN, match: ["**/team-N/x"], tags: ["1.*"]}`) +
				many(3000, `- {name: dN, match: ["**/team-N/x"], tags: ["1.5"], action: deny}`),
		},
		{
			"500OddRules",
			head + many(500, `- {name: aN, match: ["**/aN/**/*b*"], tags: ["*N*"]}`),
		},
		{
			"60000Aliases",
			head + `- {name: a, match: ["corp.example/**"]}` + "\naliases:\n" +
				many(60000, `- {from: x/aN, to: corp.example/aN}`),
		},
	} {
		b.Run(input.name, func(b *testing.B) {
			p, err := policy.Parse("p", []byte(input.doc))
			require.NoError(b, err)
			o := lint.Options{Source: func(string) ([]byte, error) { return []byte(input.doc), nil }}
			for b.Loop() {
				lint.Check("p", p, o)
			}
		})
	}
}
