package integration

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// The daemon asks nobody about a connection to its proxy when the build of the command has ended
// that opened it. Another command can have it, if both have a directory at once.
func TestNoConnectionOfACommandIsPassedOnToAnotherBuild(t *testing.T) {
	w := newDownloads(t)
	_, build := w.guard(t, w.policy(""))
	const shared = "--mount=type=cache,id=given,target=/given "
	var giving, taking harness.Output
	var both sync.WaitGroup
	both.Go(func() {
		giving = build(t, w.dockerfile(t,
			shared+"downloader give "+strings.TrimPrefix(w.https, "https://")+" /given/socket"))
	})
	both.Go(func() {
		taking = build(t, w.dockerfile(t,
			shared+"downloader take /given/socket "+w.https+"/denied/given"))
	})
	both.Wait()
	require.Contains(t, giving.Text(), "downloader: ", "nobody came")
	require.NotContains(t, taking.Text(), "took a connection")
	require.False(t, w.got("/denied/given"))
}
