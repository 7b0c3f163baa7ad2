package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestEveryKindIsLinted(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		rules := "build: " + c.Build()
		doc := "version: 1\n" + rules +
			"\nfrontends:\n- {name: a, match: [docker/dockerfile], dispatch: mediate, " + rules + "}\n"
		p, err := policy.Parse("p", []byte(doc))
		require.NoError(t, err)
		var repeated []string
		for _, f := range check("p", p, lint.Options{}) {
			if f.Code == lint.BuildRepeated {
				repeated = append(repeated, f.Message)
			}
		}
		require.Len(t, repeated, 1)
		require.Contains(t, repeated[0], "build."+string(c.Kind))
	})
}
