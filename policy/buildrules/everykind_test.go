package buildrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestEveryKindIsDescribed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		kind, err := c.Operation.Kind()
		require.NoError(t, err)
		require.Equal(t, c.Kind, kind)
		_, err = c.Operation.Normalize(kind)
		require.NoError(t, err)
		text := c.Operation.Describe()
		require.NotEmpty(t, text)
		require.False(t, seen[text], "%s describes another kind too", text)
		seen[text] = true
	})
}

func TestEveryKindHasItsOwnRules(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		p, err := policy.Parse("p", []byte(c.Policy()))
		require.NoError(t, err)
		rules := p.Document().Frontends[0].Build
		require.True(t, rules.Has(c.Kind))
		only := rules.Only(c.Kind)
		require.Equal(t, *rules, only)
		allow, _ := rules.Patterns(c.Kind)
		require.Subset(t, rules.Globs(), allow)
		require.Len(t, rules.Allowed(c.Kind, 5), len(allow))
	})
}
