package integration

import (
	"path/filepath"
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

// A client knows the name of the host by which its commands are kept apart, because they see it.
func TestNoResultIsImportedUnderRulesOnDownloads(t *testing.T) {
	w := newDownloads(t)
	_, build := w.guard(t, w.policy("caches: {imports: {local: allow}}\n"))
	out := t.TempDir()
	build(t, w.dockerfile(t, "cp /etc/hosts /hosts"), "-o", out).RequireSuccess(t)
	var host string
	for _, word := range strings.Fields(read(t, filepath.Join(out, "hosts"))) {
		if strings.HasSuffix(word, ".policy-guard.invalid") {
			host = word
		}
	}
	require.NotEmpty(t, host)

	cache := t.TempDir()
	dir := w.dockerfile(t, "downloader unset "+w.http+"/denied/forged > /forged || true")
	env.StartDaemon(t, w.config).Buildx(t, dir, "build", "--add-host", host+":127.0.0.1",
		"--cache-to=type=local,mode=max,dest="+cache, ".").RequireSuccess(t)
	require.True(t, w.got("/denied/forged"), "the client's own daemon asks nobody")

	build(t, dir, "--cache-from=type=local,src="+cache).
		RequireFailure(t, "it imports a build cache, and where the policy has rules on downloads")
	out = t.TempDir()
	build(t, dir, "-o", out).RequireSuccess(t)
	require.Empty(t, read(t, filepath.Join(out, "forged")))
}
