package diff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// A comparison that has no example for a kind is not complete, which counts as widened.
func TestEveryKindIsCompared(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		before, err := policy.Parse("p", []byte(c.Policy()))
		require.NoError(t, err)
		free := "dispatch: mediate}\n"
		if c.Kind == buildrules.KindContainers { // without rules, none is allowed
			free = "dispatch: mediate, build: {containers: allow}}\n"
		}
		after, err := policy.Parse("p",
			[]byte("version: 1\nfrontends:\n- {name: a, match: [docker/dockerfile], "+free))
		require.NoError(t, err)
		require.True(t, diff.Compare(before, after, time.Time{}).Widened)
		same := diff.Compare(before, before, time.Time{})
		require.False(t, same.Widened)
		require.True(t, same.Complete)
	})
}
