package main

import (
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()

	t.Run("all tests of the Dockerfile frontend run on all ways by default", func(t *testing.T) {
		t.Parallel()
		s, err := parseSettings(nil, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "^(TestIntegration)$/(.*)/^worker=oci$", s.suite.pattern(s.tests))
		require.Equal(t, names(suites[0].ways), names(s.ways))
		require.GreaterOrEqual(t, s.parallel, 2)
	})

	t.Run("tests and ways can be chosen", func(t *testing.T) {
		t.Parallel()
		args := []string{"-run=Copy|Labels", "-ways=mediate,builtin", "-parallel=3"}
		s, err := parseSettings(args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, "^(TestIntegration)$/(Copy|Labels)/^worker=oci$",
			s.suite.pattern(s.tests))
		require.Equal(t, []string{"mediate", "builtin"}, names(s.ways))
		require.Equal(t, 3, s.parallel)
	})

	t.Run("the tests of the client have ways of their own", func(t *testing.T) {
		t.Parallel()
		s, err := parseSettings([]string{"-suite=client"}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, []string{"pass-all"}, names(s.ways))
		require.Contains(t, s.suite.pattern("x"), "TestClientGatewayIntegration")
	})

	for name, args := range map[string][]string{
		"an unknown way":                          {"-ways=sideways"},
		"a way of another suite":                  {"-suite=client", "-ways=forward"},
		"an unknown suite":                        {"-suite=solver"},
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
	for _, w := range slices.Concat(suites[0].ways, suites[1].ways) {
		if w.before == proxyAlone {
			require.Empty(t, w.policy)
			continue
		}
		t.Run("the policy of "+w.name+" is valid", func(t *testing.T) {
			t.Parallel()
			_, err := policy.Parse(w.name, []byte(w.policy))
			require.NoError(t, err)
		})
	}
}
