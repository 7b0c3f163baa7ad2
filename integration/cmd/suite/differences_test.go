package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadDifferences(t *testing.T) {
	t.Parallel()

	t.Run("the list itself is valid", func(t *testing.T) {
		t.Parallel()
		_, err := readDifferences(differencesText)
		require.NoError(t, err)
	})

	t.Run("an entry has a test, ways and a reason", func(t *testing.T) {
		t.Parallel()
		got, err := readDifferences([]byte("- {test: TestA/x, ways: [forward, mediate], reason: r}\n"))
		require.NoError(t, err)
		require.Equal(t,
			[]difference{{Test: "TestA/x", Ways: []string{"forward", "mediate"}, Reason: "r"}}, got)
		require.True(t, isExpected(got, "mediate", "TestA/x"))
		require.True(t, isExpected(got, "mediate", "TestA/x/y"))
		require.False(t, isExpected(got, "mediate", "TestA/xy"))
		require.False(t, isExpected(got, "builtin", "TestA/x"))
		require.False(t, isExpected(got, "mediate", "TestA"))
	})

	const needs = `needs a test of its own, ways and a reason`
	for name, tc := range map[string]struct{ text, message string }{
		"without a reason": {"- {test: TestA, ways: [forward]}", needs},
		"without ways":     {"- {test: TestA, reason: r}", needs},
		"without a test":   {"- {ways: [forward], reason: r}", needs},
		"twice": {
			"- {test: TestA, ways: [forward], reason: r}\n- {test: TestA, ways: [mediate], reason: r}",
			needs,
		},
		"with an unknown way": {"- {test: TestA, ways: [sideways], reason: r}", `no way "sideways"`},
		"with an unknown key": {"- {tests: TestA}", "field tests not found"},
	} {
		t.Run("an entry "+name+" is an error", func(t *testing.T) {
			t.Parallel()
			_, err := readDifferences([]byte(tc.text))
			require.ErrorContains(t, err, tc.message)
		})
	}
}
