package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDiffer(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		straight, through results
		want              []string
	}{
		"nothing differs if all passes": {
			straight: results{"TestA": passed, "TestA/sub": passed},
			through:  results{"TestA": passed, "TestA/sub": passed},
		},
		"a test that fails straight doesn't differ": {
			straight: results{"TestA": failed, "TestB": failed},
			through:  results{"TestA": failed, "TestB": passed},
		},
		"a subtest of a test that fails straight doesn't differ": {
			straight: results{"TestA": failed, "TestA/x": passed, "TestA/x/y": passed, "TestA/z": failed},
			through:  results{"TestA": failed, "TestA/x": failed, "TestA/x/y": failed, "TestA/z": failed},
		},
		"a test that fails, is skipped or doesn't run differs": {
			straight: results{"TestA": passed, "TestB": passed, "TestC": passed},
			through:  results{"TestA": failed, "TestB": skipped},
			want:     []string{"TestA", "TestB", "TestC"},
		},
		"a test that is skipped straight differs if it fails": {
			straight: results{"TestA": skipped, "TestB": skipped, "TestC": skipped},
			through:  results{"TestA": failed, "TestB": skipped, "TestC": passed},
			want:     []string{"TestA"},
		},
		"of a test and its subtest, the subtest is named": {
			straight: results{"TestA": passed, "TestA/x": passed, "TestA/x/y": passed, "TestA/z": passed},
			through:  results{"TestA": failed, "TestA/x": failed, "TestA/x/y": failed, "TestA/z": passed},
			want:     []string{"TestA/x/y"},
		},
		"a subtest that wasn't reached isn't named": {
			straight: results{"TestA": passed, "TestA/x": passed, "TestA/x/y": passed},
			through:  results{"TestA": failed},
			want:     []string{"TestA"},
		},
		"a subtest that is gone is named if its test passes": {
			straight: results{"TestA": passed, "TestA/x": passed},
			through:  results{"TestA": passed},
			want:     []string{"TestA/x"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, differ(tc.straight, tc.through))
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	c := comparison{
		straight: results{"TestA": passed, "TestB": passed, "TestC": failed},
		ways: []wayResults{
			{way: way{name: "forward"}, results: results{"TestA": failed, "TestB": passed}},
			{way: way{name: "builtin"}, results: results{"TestA": passed, "TestB": passed}},
		},
	}
	cases := map[string]struct {
		expected []difference
		want     []string
	}{
		"a difference that isn't expected is a problem": {
			want: []string{"TestA: pass straight, but not with forward"},
		},
		"an expected difference is none": {
			expected: []difference{{Test: "TestA", Ways: []string{"forward"}}},
		},
		"it is one on another way": {
			expected: []difference{{Test: "TestA", Ways: []string{"builtin"}}},
			want: []string{
				"TestA: pass straight, but not with forward",
				"TestA: no longer differs with builtin, remove that from differences.yaml",
			},
		},
		"one that can't be seen is none": {
			expected: []difference{
				{Test: "TestA", Ways: []string{"forward"}},
				{Test: "TestC", Ways: []string{"forward"}}, // fails straight
				{Test: "TestD", Ways: []string{"forward"}}, // didn't run
				{Test: "TestB", Ways: []string{"mediate"}}, // this way wasn't chosen
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, c.problems(tc.expected))
		})
	}
}

func TestNothingThatPassesIsAProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]comparison{
		"no test": {}, "only a test that fails": {straight: results{"TestA": failed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, []string{"no test passed straight"}, c.problems(nil))
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	c := comparison{
		straight: results{
			"TestA": passed, "TestA/x": passed, "TestB": skipped, "TestC": failed, "TestC/x": passed,
		},
		took: 61 * time.Second,
		ways: []wayResults{{
			way: way{name: "mediate"},
			results: results{
				"TestA": failed, "TestA/x": failed, "TestB": skipped, "TestC": passed, "TestC/x": passed,
			},
		}},
	}
	require.Equal(t, ""+
		"           passed   failed   skipped   time\n"+
		"straight   1        1        1         1m1s\n"+
		"mediate    0        1        1         0s\n", c.table())
}
