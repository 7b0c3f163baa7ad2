package frontend

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestTheDefinitionOfAFrontendsImageIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	ref, err := imageref.Parse("docker/dockerfile:1@" + digestOne.String())
	require.NoError(t, err)
	first, err := definitionOf(t.Context(), ref)
	require.NoError(t, err)
	for range 50 {
		again, err := definitionOf(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
}
