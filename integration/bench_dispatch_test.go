package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// BenchmarkDispatch measures builds whose steps are all cached. It measures whole processes of
// buildctl: directly to docker/dockerfile, and through the image with each dispatch. A trivial
// build takes so little time that only many of them show a difference of one percent.
//
// Large builds have many copies that differ only in their destination. The long names of the files
// give the LLB its size in megabytes.
func BenchmarkDispatch(b *testing.B) {
	for _, build := range []struct {
		name, dockerfile string
		turns            int // in each round
	}{
		{"trivial", goodFile, 10},
		{"300 steps", copies(300, 1, 0), 2},
		{"6 MB of LLB", copies(250, 100, 200), 1},
	} {
		b.Run(build.name, func(b *testing.B) { benchmarkDispatch(b, build.dockerfile, build.turns) })
	}
}

// BenchmarkMemory reports the largest memory of a frontend's process in a build with a large LLB.
// It measures docker/dockerfile called directly, and the policy frontend with each dispatch.
func BenchmarkMemory(b *testing.B) {
	dockerfile := copies(250, 100, 200)
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": dockerfile, "f": "f"})
	size := llbSize(b, dockerfile)
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	for _, way := range []string{straight, "forward", "mediate", "builtin"} {
		b.Run(way, func(b *testing.B) {
			line, program := theWay(b, way, dir), "/policy-frontend"
			if way == straight {
				program = "/bin/dockerfile-frontend"
			}
			d.Buildctl(b, line...).RequireSuccess(b) // fills the cache
			var whole, own []float64
			for b.Loop() {
				peak := peakDuring(program, func() { d.Buildctl(b, line...).RequireSuccess(b) })
				whole, own = append(whole, peak.whole), append(own, peak.own)
			}
			b.ReportMetric(median(whole), "MiB-peak")
			b.ReportMetric(median(own), "MiB-own")
			b.ReportMetric(size, "MiB-llb")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// memory is the memory of a process in MiB. The field whole is all its resident memory. The field
// own leaves out the program's file, which all processes of an image share.
type memory struct{ whole, own float64 }

// peakDuring returns the largest memory of any process of the program while f ran. It looks every
// few milliseconds, so it can miss a short peak.
func peakDuring(program string, f func()) memory {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	var peak memory
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return peak
		case <-tick.C:
		}
		files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range files {
			if name, err := os.ReadFile(file); err != nil || string(name) != program+"\x00" {
				continue
			}
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
			peak.whole = max(peak.whole, mebibytes(string(status), "VmHWM:"))
			peak.own = max(peak.own, mebibytes(string(status), "RssAnon:"))
		}
	}
}

// mebibytes returns a value of /proc/PID/status in MiB, or 0 if it isn't there.
func mebibytes(status, field string) float64 {
	_, rest, _ := strings.Cut(status, field)
	var kib float64
	if _, err := fmt.Sscanf(rest, "%f kB", &kib); err != nil {
		return 0
	}
	return kib / 1024
}

// llbSize returns the size of the LLB for a Dockerfile, in MiB.
func llbSize(b *testing.B, dockerfile string) float64 {
	b.Helper()
	res, err := dockerfile2llb.Dockerfile2LLB(b.Context(), []byte(dockerfile),
		dockerfile2llb.ConvertOpt{})
	require.NoError(b, err)
	def, err := res.State.Marshal(b.Context())
	require.NoError(b, err)
	dt, err := def.ToPB().MarshalVT()
	require.NoError(b, err)
	return float64(len(dt)) / (1 << 20)
}

// straight names the way directly to docker/dockerfile.
const straight = "direct"

// theWay returns buildctl's arguments to build a folder, directly or through the image with a
// dispatch.
func theWay(b *testing.B, way, dir string) []string {
	b.Helper()
	if way == straight {
		return byBuildctl(dir, inner, "--opt", "cmdline="+inner)
	}
	us := env.WithPolicy(b, dispatching(way))
	return byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner)
}

// dispatching returns corpPolicy with another dispatch.
func dispatching(way string) string {
	return corpPolicy + "dispatch: " + way + "\n"
}

func benchmarkDispatch(b *testing.B, dockerfile string, turns int) {
	b.Helper()
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": dockerfile, "f": "f"})
	ways := []string{straight, "forward", "mediate", "builtin"}
	var lines [][]string
	for _, way := range ways {
		lines = append(lines, theWay(b, way, dir))
	}
	seconds := inTurn(b, d, turns, lines)
	for i, way := range ways {
		b.ReportMetric(median(seconds[i])*1000, "ms-"+way)
	}
	direct, forward, mediate, builtin := seconds[0], seconds[1], seconds[2], seconds[3]
	reportRatio(b, "builtin/direct", builtin, direct)
	reportRatio(b, "mediate/forward", mediate, forward)
	reportRatio(b, "forward/direct", forward, direct)
	b.ReportMetric(0, "ns/op") // an operation is many builds, so its time says nothing
}

// BenchmarkAgainst times cached builds through this checkout's program and another one, which
// the variable PF_AGAINST names by its path. It shows whether a change made builds slower.
func BenchmarkAgainst(b *testing.B) {
	other := os.Getenv("PF_AGAINST")
	if other == "" {
		b.Skip("PF_AGAINST names no program to compare with")
	}
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	for _, build := range []struct {
		name, dockerfile string
		turns            int // in a round
	}{
		{"trivial", goodFile, 10},
		{"6 MB of LLB", copies(250, 100, 200), 1},
	} {
		dir := harness.WriteContext(b, map[string]string{"Dockerfile": build.dockerfile, "f": "f"})
		for _, way := range []string{"forward", "mediate", "builtin"} {
			b.Run(build.name+"/"+way, func(b *testing.B) {
				var lines [][]string
				for _, program := range []string{"", other} {
					us := env.PackProgram(b, program, dispatching(way))
					lines = append(lines, byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner))
				}
				seconds := inTurn(b, d, build.turns, lines)
				b.ReportMetric(median(seconds[0])*1000, "ms-this")
				reportRatio(b, "this/other", seconds[0], seconds[1])
				b.ReportMetric(0, "ns/op") // an operation is many builds, so its time says nothing
			})
		}
	}
}

// copies returns a Dockerfile with that many steps. Each step copies that many files, to a name of
// that length.
func copies(steps, files, length int) string {
	var text strings.Builder
	text.WriteString("FROM scratch\n")
	long := strings.Repeat("x", length)
	for i := range steps {
		text.WriteString("COPY")
		for range files {
			fmt.Fprintf(&text, " f")
		}
		fmt.Fprintf(&text, " /d%d%s/\n", i, long)
	}
	return text.String()
}
