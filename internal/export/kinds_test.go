package export

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestEveryKindIsNotedAsLost(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		p, err := policy.Parse("p", []byte(c.Policy()))
		require.NoError(t, err)
		for _, format := range []Format{SourcePolicy, Buildkitd, Rego} {
			result, err := Export(p, format, Options{})
			require.NoError(t, err)
			var notes strings.Builder
			for _, n := range result.Notes {
				notes.WriteString(n.Message)
			}
			require.Contains(t, notes.String(), "build ("+string(c.Kind)+")")
		}
	})
}
