package integration

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

func TestAllowedFiftyBuildsAtOnce(t *testing.T) { //nolint:paralleltest // it is load enough
	for _, w := range waysApart() { // one after the other, because fifty builds are load enough
		t.Run(w.name, func(t *testing.T) { testFiftyBuildsAtOnce(t, w) })
	}
}

// A smaller machine runs fewer builds at once. The reason is that buildkitd gives up any frontend
// that hasn't spoken within ten seconds (golang.org/x/net/http2, prefaceTimeout).
func testFiftyBuildsAtOnce(t *testing.T, w way) {
	const builds, perProcessor = 50, 6
	atOnce := min(builds, perProcessor*runtime.NumCPU())
	us := w.throughUs(t)
	dir := withSyntax(t, "FROM scratch\nARG N\nCOPY <<EOF /out\nbuild $N\nEOF\n", nil)
	outs, processes := make([]string, builds), make([]*harness.Process, builds)
	finish := func(n int) {
		processes[n].Wait(t).RequireSuccess(t)
		require.Equal(t, fmt.Sprintf("build %d\n", n), read(t, filepath.Join(outs[n], "out")))
	}
	for n := range builds {
		if n >= atOnce {
			finish(n - atOnce)
		}
		outs[n] = t.TempDir()
		processes[n] = us.Start(t, us.BuildctlCommand(byBuildctl(dir, us.syntax,
			"--opt", fmt.Sprintf("build-arg:N=%d", n), "--output", "type=local,dest="+outs[n])...))
	}
	for n := builds - atOnce; n < builds; n++ {
		finish(n)
	}
}
