package integration

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

func TestAllowedFiftyBuildsAtOnce(t *testing.T) {
	t.Parallel()
	for _, w := range waysApart() { // one after the other, fifty are enough
		t.Run(w.name, func(t *testing.T) { testFiftyBuildsAtOnce(t, w) })
	}
}

func testFiftyBuildsAtOnce(t *testing.T, w way) {
	const builds = 50
	us := w.throughUs(t)
	dir := withSyntax(t, "FROM scratch\nARG N\nCOPY <<EOF /out\nbuild $N\nEOF\n", nil)
	outs, processes := make([]string, builds), make([]*harness.Process, builds)
	for n := range builds {
		outs[n] = t.TempDir()
		processes[n] = us.Start(t, us.BuildctlCommand(byBuildctl(dir, us.syntax,
			"--opt", fmt.Sprintf("build-arg:N=%d", n), "--output", "type=local,dest="+outs[n])...))
	}
	for n, p := range processes {
		p.Wait(t).RequireSuccess(t)
		require.Equal(t, fmt.Sprintf("build %d\n", n), read(t, filepath.Join(outs[n], "out")))
	}
}
