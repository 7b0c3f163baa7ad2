package integration

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// benchmarkGuardDownloads measures what commands download by the daemon's build proxy. Both builds
// use it, and only in one of them the guard judges each request. In both, the frontend runs in a
// container: the guard's image with its built-in frontend, or docker/dockerfile.
func benchmarkGuardDownloads(b *testing.B) {
	w := newDownloads(b)
	w.config.Quiet = true
	g := env.Guard(b, w.config, w.policy(""), "--image", env.PackMediator(b))
	turn := 0 // of all commands, also if a benchmark runs again
	// take runs a command with some requests in turns that no cache has, and returns the seconds of
	// its builds.
	take := func(b *testing.B, path string, requests int) (through, direct []float64) {
		b.Helper()
		dir := harness.WriteContext(b, map[string]string{"Dockerfile": fmt.Sprintf(
			"FROM %s\nARG TURN\nRUN downloader many %s%s %d\n", w.image, w.http, path, requests)})
		first, before := turn, w.count(path)
		run := func(d *harness.Daemon, args ...string) func() harness.Output {
			return func() harness.Output {
				turn++
				args := append(args, "--opt", fmt.Sprintf("build-arg:TURN=%d", turn))
				return d.Buildctl(b, byBuildctl(dir, inner, args...)...)
			}
		}
		seconds := takeTurns(b, 1, []func() harness.Output{
			run(g.Daemon), run(g.Behind, "--proxy-network"),
		})
		require.Equal(b, before+(turn-first)*requests, w.count(path), "each command ran")
		return seconds[0], seconds[1]
	}
	b.Run("100MB", func(b *testing.B) {
		through, direct := take(b, "/allowed/100MB", 1)
		b.ReportMetric(median(through), "s/build")
		reportRatio(b, "x-own-proxy", through, direct)
		b.ReportMetric(0, "ns/op")
	})
	b.Run("requests", func(b *testing.B) {
		const requests = 500
		through, direct := take(b, "/allowed/small", requests)
		b.ReportMetric(median(through), "s/500-requests")
		for i := range through { // what a build takes for one request
			through[i] /= requests
			direct[i] /= requests
		}
		reportOver(b, "ms-over-own-proxy/request", through, direct)
		b.ReportMetric(0, "ns/op")
	})
}
