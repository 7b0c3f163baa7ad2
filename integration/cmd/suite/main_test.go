package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()

	t.Run("all tests run on the ways of the image by default", func(t *testing.T) {
		t.Parallel()
		s, err := parseSettings(nil, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "^TestIntegration$/(.*)/^worker=oci$", pattern(s.tests))
		require.Equal(t, names(ofTheImage()), names(s.ways))
		require.Len(t, s.ways, 6)
		require.GreaterOrEqual(t, s.parallel, 2)
	})

	t.Run("tests and ways can be chosen", func(t *testing.T) {
		t.Parallel()
		args := []string{"-run=Copy|Labels", "-ways=mediate,builtin", "-parallel=3"}
		s, err := parseSettings(args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "^TestIntegration$/(Copy|Labels)/^worker=oci$", pattern(s.tests))
		require.Equal(t, []string{"mediate", "builtin"}, names(s.ways))
		require.Equal(t, 3, s.parallel)
	})

	for name, args := range map[string][]string{
		"an unknown way": {"-ways=sideways"},
		"a regular expression that doesn't parse": {"-run=("},
		"the name of a subtest":                   {"-run=TestA/x"},
		"an argument":                             {"TestA"},
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			t.Parallel()
			_, err := parseSettings(args, io.Discard)
			require.Error(t, err)
		})
	}
}

func TestWays(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run("the policy of "+w.name+" is valid", func(t *testing.T) {
			t.Parallel()
			_, err := policy.Parse(w.name, []byte(w.policy))
			require.NoError(t, err)
		})
	}
}
