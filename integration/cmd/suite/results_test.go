package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadResults(t *testing.T) {
	t.Parallel()
	const gateway = `/worker=oci/frontend=gateway`
	events := func(lines ...string) string {
		all := strings.Join(lines, "\n")
		all = strings.ReplaceAll(all, "I/", "TestIntegration/")
		return strings.ReplaceAll(all, "//", gateway)
	}
	cases := map[string]struct {
		events string
		want   results
		log    string
		ended  int
	}{
		"each test has its outcome": {
			events: events(
				`{"Action":"start"}`,
				`{"Action":"run","Test":"TestIntegration"}`,
				`{"Action":"run","Test":"I/TestA//"}`,
				`{"Action":"pass","Test":"I/TestA//","Elapsed":0.1}`,
				`{"Action":"fail","Test":"I/TestB//"}`,
				`{"Action":"skip","Test":"I/TestC//"}`,
				`{"Action":"fail","Test":"TestIntegration"}`,
				`{"Action":"fail"}`,
			),
			want:  results{"TestA": passed, "TestB": failed, "TestC": skipped},
			ended: 3,
		},
		"a subtest and a variant have names of their own": {
			events: events(
				`{"Action":"pass","Test":"I/TestA///sub"}`,
				`{"Action":"pass","Test":"I/TestA//"}`,
				`{"Action":"pass","Test":"I/TestB///network.host=denied"}`,
				`{"Action":"pass","Test":"I/TestC/worker=oci/env=simple/frontend=gateway/v1"}`,
			),
			want: results{
				"TestA": passed, "TestA/sub": passed, "TestB/network.host=denied": passed,
				"TestC/env=simple/v1": passed,
			},
			ended: 4,
		},
		"a test that began and didn't end has failed": {
			events: events(
				`{"Action":"run","Test":"I/TestA//"}`,
				`{"Action":"pause","Test":"I/TestA//"}`,
			),
			want: results{"TestA": failed},
		},
		"what tests print goes to the log": {
			events: events(
				`{"Action":"output","Test":"I/TestA//","Output":"one\n"}`,
				`{"Action":"output","Output":"two\n"}`,
			),
			want: results{},
			log:  "one\ntwo\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			ended := 0
			got, err := readResults(strings.NewReader(tc.events), &log, func() { ended++ })
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.log, log.String())
			require.Equal(t, tc.ended, ended)
		})
	}
	t.Run("what isn't an event is an error", func(t *testing.T) {
		t.Parallel()
		_, err := readResults(strings.NewReader("PASS\n"), &strings.Builder{}, func() {})
		require.Error(t, err)
	})
}

func TestResults(t *testing.T) {
	t.Parallel()
	all := results{
		"TestA": passed, "TestA/sub": failed, "TestB/x=1": skipped, "TestB/x=2": passed,
		"TestC": failed,
	}

	t.Run("subtests don't count", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 2, all.count(passed))
		require.Equal(t, 1, all.count(failed))
		require.Equal(t, 1, all.count(skipped))
	})

	t.Run("functions are those of tests and subtests, each once", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{"TestA", "TestB"}, all.functions(passed, skipped))
		require.Equal(t, []string{"TestA", "TestC"}, all.functions(failed))
	})

	t.Run("a later run replaces all of its functions", func(t *testing.T) {
		t.Parallel()
		got := results{"TestA": passed, "TestA/sub": failed, "TestAB": failed}
		got.replace(results{"TestA": passed, "TestA/other": passed})
		require.Equal(t, results{"TestA": passed, "TestA/other": passed, "TestAB": failed}, got)
	})
}
