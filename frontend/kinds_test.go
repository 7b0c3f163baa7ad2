package frontend

import (
	"testing"

	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
)

// A guard binds the daemon to a kind of sources, or refuses everything where it can't.
func TestEveryKindOfSourcesIsGuarded(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		m := monitorOf(t, newFake(t, "", nil), c.Policy())
		guard, err := m.definition(t.Context(), &pb.Definition{})
		if !c.Kind.IsSource() {
			require.NoError(t, err)
			require.Empty(t, guard)
			return
		}
		if err != nil {
			require.ErrorContains(t, err, "no source policy can bind the daemon")
			return
		}
		require.Len(t, guard, 1)
		require.NotEmpty(t, guard[0].Rules)
		for _, r := range guard[0].Rules {
			require.Equal(t, spb.PolicyAction_DENY, r.Action)
		}
	})
}

func TestEveryKindThatAResultShowsIsChecked(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		m := monitorOf(t, newFake(t, "", nil), c.Policy())
		require.Equal(t, c.Kind.InResult(), m.checksResults())
	})
}
