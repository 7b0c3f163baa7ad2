package frontend

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestTheDaemonsRefusalOfANestedFrontendSaysWhatHelps(t *testing.T) {
	t.Parallel()
	ref, err := imageref.Parse("docker/spec:1@" + digestOne.String())
	require.NoError(t, err)
	a := admitted{decision: policy.Decision{Reference: ref}}
	refused := errors.New("'docker/dockerfile:1' is not an allowed gateway source")
	got := explainNested(a, refused)
	require.ErrorIs(t, got, refused)
	require.ErrorContains(t, got, "the frontend docker/spec:1@"+digestOne.String()+" asked for "+
		"another frontend, and the daemon allows only the policy frontend; a rule with dispatch: "+
		"mediate can allow")
	other := errors.New("exit code: 1")
	require.Equal(t, other, explainNested(a, other))
	require.NoError(t, explainNested(a, nil))
}
