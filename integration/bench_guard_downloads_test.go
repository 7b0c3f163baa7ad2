package integration

import (
	"fmt"
	"regexp"
	"strconv"
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
	// take runs a command with some requests in turns that no cache has. It returns the seconds of its
	// builds, and what the command says its requests took.
	take := func(b *testing.B, path string, requests int) (builds, commands [2][]float64) {
		b.Helper()
		dir := harness.WriteContext(b, map[string]string{"Dockerfile": fmt.Sprintf(
			"FROM %s\nARG TURN\nRUN downloader many %s%s %d\n", w.image, w.http, path, requests)})
		first, before := turn, w.count(path)
		run := func(i int, d *harness.Daemon, args ...string) func() harness.Output {
			return func() harness.Output {
				turn++
				args := append(args, "--opt", fmt.Sprintf("build-arg:TURN=%d", turn))
				o := d.Buildctl(b, byBuildctl(dir, inner, args...)...).RequireSuccess(b)
				commands[i] = append(commands[i], secondsOfRequests(b, o))
				return o
			}
		}
		seconds := takeTurns(b, 1, []func() harness.Output{
			run(0, g.Daemon), run(1, g.Behind, "--proxy-network"),
		})
		require.Equal(b, before+(turn-first)*requests, w.count(path), "each command ran")
		for i := range commands {
			builds[i], commands[i] = seconds[i], commands[i][1:] // the first one filled the cache
		}
		return builds, commands
	}
	b.Run("100MB", func(b *testing.B) {
		builds, commands := take(b, "/allowed/100MB", 1)
		b.ReportMetric(median(builds[0]), "s/build")
		reportRatio(b, "x-own-proxy", commands[0], commands[1])
		reportRatio(b, "x-own-proxy/build", builds[0], builds[1])
		b.ReportMetric(0, "ns/op")
	})
	b.Run("requests", func(b *testing.B) {
		const requests = 500
		_, commands := take(b, "/allowed/small", requests)
		b.ReportMetric(median(commands[0]), "s/500-requests")
		for i := range commands[0] { // what a command takes for one request
			commands[0][i] /= requests
			commands[1][i] /= requests
		}
		reportOver(b, "ms-over-own-proxy/request", commands[0], commands[1])
		b.ReportMetric(0, "ns/op")
	})
}

// took is what the program downloader prints.
var took = regexp.MustCompile(`took ([0-9.]+) seconds`)

// secondsOfRequests returns how long the requests of a build's command took.
func secondsOfRequests(b *testing.B, o harness.Output) float64 {
	b.Helper()
	all := took.FindStringSubmatch(o.Text())
	require.NotNil(b, all, "%s", o)
	seconds, err := strconv.ParseFloat(all[1], 64)
	require.NoError(b, err)
	return seconds
}
