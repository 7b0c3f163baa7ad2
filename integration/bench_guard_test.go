package integration

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// plainFile is a trivial build without a syntax line, which buildkitd's own frontend would follow.
const plainFile = "FROM busybox\nCOPY f /f\n"

// BenchmarkGuard compares builds through policy-guard with builds on the daemon behind it. Each
// row is a benchmark of its own, in which only the builds take turns that are compared: the nearer
// two builds are in time, the more alike the machine is to both.
func BenchmarkGuard(b *testing.B) {
	quiet := harness.DaemonConfig{Quiet: true}
	builtin, forward := env.Guard(b, quiet, guardBuiltin), env.Guard(b, quiet, guardPolicy)
	b.Run("50 builds at once", func(b *testing.B) { benchmarkGuardLoad(b, forward) })
	b.Run("trivial", func(b *testing.B) { benchmarkGuard(b, builtin, forward) })
	b.Run("a record", func(b *testing.B) {
		recorded := env.Guard(b, quiet, guardBuiltin, "--record", filepath.Join(b.TempDir(), "record"))
		benchmarkGuardRecord(b, recorded, builtin)
	})
	b.Run("record and summary", func(b *testing.B) {
		private, _ := signingKey(b)
		proved := env.Guard(b, quiet, guardBuiltin, "--sign-key", private,
			"--record", filepath.Join(b.TempDir(), "record"))
		benchmarkGuardProof(b, proved, builtin)
	})
	b.Run("downloads", benchmarkGuardDownloads)
	b.Run("300 steps", func(b *testing.B) {
		benchmarkGuardLarge(b, builtin, forward, copies(300, 1, 0), 5)
	})
	b.Run("6 MB of LLB", func(b *testing.B) {
		benchmarkGuardLarge(b, builtin, forward, copies(250, 100, 200), 1)
	})
	b.Run("1000 sources", func(b *testing.B) { benchmarkGuardSources(b, builtin) })
	b.Run("500 MB of context", func(b *testing.B) { benchmarkGuardContext(b, builtin) })
}

// byDockerfile returns the arguments of buildctl for a build by dockerfile.v0.
func byDockerfile(dir string) []string {
	return []string{
		"build", "--progress=plain", "--frontend=dockerfile.v0", "--local", "context=" + dir,
		"--local", "dockerfile=" + dir,
	}
}

// benchmarkGuard measures a trivial build whose steps are all cached, by whole processes of
// buildctl.
func benchmarkGuard(b *testing.B, builtin, forward *harness.Guarded) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": plainFile, "f": "f"})
	b.Run("builtin", func(b *testing.B) {
		seconds := takeTurns(b, 5, []func() harness.Output{
			patient(b, builtin.Daemon, byDockerfile(dir)),
			patient(b, builtin.Behind, byDockerfile(dir)),
		})
		b.ReportMetric(median(seconds[0])*1000, "ms/build")
		reportOver(b, "ms-over-own", seconds[0], seconds[1])
		b.ReportMetric(0, "ns/op")
	})
	b.Run("builtin and the gateway", func(b *testing.B) {
		seconds := takeTurns(b, 1, []func() harness.Output{
			patient(b, builtin.Daemon, byDockerfile(dir)),
			patient(b, builtin.Behind, byBuildctl(dir, inner)),
		})
		reportRatio(b, "x-gateway", seconds[0], seconds[1])
		b.ReportMetric(0, "ns/op")
	})
	b.Run("forward", func(b *testing.B) {
		seconds := takeTurns(b, 5, []func() harness.Output{
			patient(b, forward.Daemon, byBuildctl(dir, inner)),
			patient(b, forward.Behind, byBuildctl(dir, inner)),
		})
		b.ReportMetric(median(seconds[0])*1000, "ms/build")
		reportOver(b, "ms-over-direct", seconds[0], seconds[1])
		b.ReportMetric(0, "ns/op")
	})
}

// benchmarkGuardRecord measures what it takes to record a trivial build.
func benchmarkGuardRecord(b *testing.B, recorded, other *harness.Guarded) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": plainFile, "f": "f"})
	seconds := takeTurns(b, 5, []func() harness.Output{
		patient(b, recorded.Daemon, byDockerfile(dir)), patient(b, other.Daemon, byDockerfile(dir)),
	})
	b.ReportMetric(median(seconds[0])*1000, "ms-recorded")
	reportOver(b, "ms-over-none", seconds[0], seconds[1])
	b.ReportMetric(0, "ns/op")
}

// benchmarkGuardProof measures what it takes to record a trivial build of an image, and to sign its
// summary. Each build has a build argument of its own, so no two are the same.
func benchmarkGuardProof(b *testing.B, proved, other *harness.Guarded) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{
		"Dockerfile": "FROM busybox\nARG TURN\nCOPY f /f\n", "f": "f",
	})
	out := b.TempDir()
	metadata, image := filepath.Join(out, "metadata"), filepath.Join(out, "image")
	turn := 0
	run := func(d *harness.Daemon) func() harness.Output {
		return func() harness.Output {
			turn++
			return d.Buildctl(b, append(byDockerfile(dir), "--output", "type=oci,dest="+image,
				"--metadata-file", metadata, "--opt", fmt.Sprintf("build-arg:TURN=%d", turn))...)
		}
	}
	run(proved.Daemon)().RequireSuccess(b)
	envelope, missing := summaryIn(b, metadata)
	require.NotEmpty(b, envelope, missing)
	seconds := takeTurns(b, 5, []func() harness.Output{run(proved.Daemon), run(other.Daemon)})
	b.ReportMetric(median(seconds[0])*1000, "ms-proved")
	reportOver(b, "ms-over-none", seconds[0], seconds[1])
	b.ReportMetric(0, "ns/op")
}

// benchmarkGuardLarge measures a large build whose steps are all cached.
func benchmarkGuardLarge(
	b *testing.B, builtin, forward *harness.Guarded, dockerfile string, turns int,
) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": dockerfile, "f": "f"})
	for _, way := range []struct {
		name  string
		guard *harness.Guarded
		line  []string
	}{
		{"builtin", builtin, byDockerfile(dir)}, {"forward", forward, byBuildctl(dir, inner)},
	} {
		b.Run(way.name, func(b *testing.B) {
			seconds := takeTurns(b, turns, []func() harness.Output{
				patient(b, way.guard.Daemon, way.line), patient(b, way.guard.Behind, way.line),
			})
			b.ReportMetric(median(seconds[0])*1000, "ms/build")
			reportRatio(b, "x-direct", seconds[0], seconds[1])
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchmarkGuardSources measures a build of downloads, which the daemon asks about one by one. All
// are in the cache, and their server is asked whether they have changed. It has a quarter of the
// downloads that the figures are for: what the guard adds is for each of them, and the time that
// the rest takes differs less from build to build.
func benchmarkGuardSources(b *testing.B, g *harness.Guarded) {
	b.Helper()
	const parts = 4
	const sources, inStep = 1000 / parts, 10
	files := map[string][]byte{}
	for i := range sources {
		files[fmt.Sprint(i)] = []byte("f")
	}
	served := harness.ServeFiles(b, files)
	var text strings.Builder
	text.WriteString("FROM scratch\n")
	for i := range sources {
		if i%inStep == 0 {
			text.WriteString("ADD")
		}
		fmt.Fprintf(&text, " %s/%d", served, i)
		if i%inStep == inStep-1 {
			text.WriteString(" /\n")
		}
	}
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": text.String()})
	seconds := takeTurns(b, 2, []func() harness.Output{
		patient(b, g.Daemon, byDockerfile(dir)), patient(b, g.Behind, byDockerfile(dir)),
	})
	for _, of := range seconds {
		for turn := range of {
			of[turn] *= parts
		}
	}
	b.ReportMetric(median(seconds[0]), "s/1000-sources")
	reportOver(b, "ms-over-own", seconds[0], seconds[1])
	b.ReportMetric(0, "ns/op")
}

// reportOver reports the median of how many milliseconds longer one build took than the other in
// the same turn, and the margin as [reportRatio] does.
func reportOver(b *testing.B, name string, one, other []float64) {
	b.Helper()
	over := make([]float64, len(one))
	for turn := range over {
		over[turn] = (one[turn] - other[turn]) * 1000
	}
	b.ReportMetric(median(over), name)
	b.ReportMetric(doubt(over), name+"±")
}

// benchmarkGuardContext measures a build whose context of 500 MB is sent in each turn.
func benchmarkGuardContext(b *testing.B, g *harness.Guarded) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n"})
	const files, size = 50, 10 * 1000 * 1000
	data := make([]byte, size)
	for i := range files {
		_, _ = rand.Read(data) // never fails
		require.NoError(b, os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), data, 0o600))
	}
	turn := 0
	run := func(d *harness.Daemon) func() harness.Output {
		return func() harness.Output {
			turn++ // the client sends files again whose time has changed
			at := time.Unix(int64(turn), 0)
			for i := range files {
				require.NoError(b, os.Chtimes(filepath.Join(dir, fmt.Sprint(i)), at, at))
			}
			return d.Buildctl(b, byDockerfile(dir)...)
		}
	}
	seconds := takeTurns(b, 1, []func() harness.Output{run(g.Daemon), run(g.Behind)})
	b.ReportMetric(median(seconds[0]), "s/build")
	reportRatio(b, "x-direct", seconds[0], seconds[1])
	b.ReportMetric(0, "ns/op")
}

// benchmarkGuardLoad measures 50 builds at once, and the guard's memory at rest and during them.
func benchmarkGuardLoad(b *testing.B, g *harness.Guarded) {
	b.Helper()
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": plainFile, "f": "f"})
	rest := memoryOf(b, g.Pid(), "VmRSS")
	at := func(d *harness.Daemon) float64 {
		began := time.Now()
		outputs := make([]harness.Output, 50)
		var wait sync.WaitGroup
		for i := range outputs {
			wait.Go(func() { outputs[i] = d.Buildctl(b, byBuildctl(dir, inner)...) })
		}
		wait.Wait()
		took := time.Since(began).Seconds()
		for _, o := range outputs {
			o.RequireSuccess(b)
		}
		return took
	}
	at(g.Behind) // fills the cache
	var through, direct []float64
	for b.Loop() {
		through, direct = append(through, at(g.Daemon)), append(direct, at(g.Behind))
	}
	b.ReportMetric(rest, "MiB-rest")
	b.ReportMetric(memoryOf(b, g.Pid(), "VmHWM"), "MiB-peak")
	b.ReportMetric(median(through), "s/50-builds")
	reportRatio(b, "x-direct", through, direct)
	b.ReportMetric(0, "ns/op")
}

// memoryOf returns a field of a process's status, in MiB.
func memoryOf(b *testing.B, pid int, field string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	_, rest, ok := strings.Cut(string(status), field+":")
	require.True(b, ok)
	var kib float64
	_, err = fmt.Sscanf(rest, "%f kB", &kib)
	require.NoError(b, err)
	return kib / 1024
}
