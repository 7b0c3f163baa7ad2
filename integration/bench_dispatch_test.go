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

// BenchmarkDispatch times builds whose every step is cached, as whole processes of
// buildctl: straight to docker/dockerfile, and through the image in each way of
// dispatch, in turn, so that the ratios hold while the machine's speed drifts. They
// are medians over the rounds.
//
// Large builds have many copies that differ only in where they go: an LLB of about
// so many megabytes is what the names of their files make of it.
func BenchmarkDispatch(b *testing.B) {
	for _, build := range []struct{ name, dockerfile string }{
		{"trivial", goodFile},
		{"300 steps", copies(300, 1, 0)},
		{"6 MB of LLB", copies(250, 100, 200)},
	} {
		b.Run(build.name, func(b *testing.B) { benchmarkDispatch(b, build.dockerfile) })
	}
}

// BenchmarkMemory reports the most memory that the policy frontend's process held
// in a build with a large LLB, in each way of dispatch.
func BenchmarkMemory(b *testing.B) {
	dockerfile := copies(250, 100, 200)
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": dockerfile, "f": "f"})
	size := llbSize(b, dockerfile)
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	d.Buildctl(b, byBuildctl(dir, "docker/dockerfile:1", "--opt", "cmdline=docker/dockerfile:1")...).RequireSuccess(b) // so that the rest has all in its cache
	for _, way := range []string{"forward", "mediate", "builtin"} {
		b.Run(way, func(b *testing.B) {
			us := env.WithPolicy(b, dispatching(way))
			line := byBuildctl(dir, us, "--opt", "cmdline="+us+" docker/dockerfile:1")
			var peaks []float64
			for b.Loop() {
				peaks = append(peaks, peakDuring(func() { d.Buildctl(b, line...).RequireSuccess(b) }))
			}
			b.ReportMetric(median(peaks), "MiB-peak")
			b.ReportMetric(size, "MiB-llb")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// peakDuring returns the most memory in MiB that any process of the image held
// while f ran, as far as looking at it every few milliseconds shows.
func peakDuring(f func()) float64 {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	var peak float64
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
			if name, err := os.ReadFile(file); err != nil || string(name) != "/policy-frontend\x00" {
				continue
			}
			status, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
			_, rest, _ := strings.Cut(string(status), "VmHWM:")
			var kib float64
			if _, err := fmt.Sscanf(rest, "%f kB", &kib); err == nil {
				peak = max(peak, kib/1024)
			}
		}
	}
}

// llbSize returns the size in MiB of the definition that a Dockerfile makes.
func llbSize(b *testing.B, dockerfile string) float64 {
	b.Helper()
	res, err := dockerfile2llb.Dockerfile2LLB(b.Context(), []byte(dockerfile), dockerfile2llb.ConvertOpt{})
	require.NoError(b, err)
	def, err := res.State.Marshal(b.Context())
	require.NoError(b, err)
	dt, err := def.ToPB().MarshalVT()
	require.NoError(b, err)
	return float64(len(dt)) / (1 << 20)
}

// dispatching is corpPolicy with another way of dispatch.
func dispatching(way string) string {
	return corpPolicy + "dispatch: " + way + "\n"
}

func benchmarkDispatch(b *testing.B, dockerfile string) {
	b.Helper()
	const inner = "docker/dockerfile:1"
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": dockerfile, "f": "f"})
	ways := []string{"direct", "forward", "mediate", "builtin"}
	lines := [][]string{byBuildctl(dir, inner, "--opt", "cmdline="+inner)}
	for _, way := range ways[1:] {
		us := env.WithPolicy(b, strings.Replace(corpPolicy, "frontends:", "dispatch: "+way+"\nfrontends:", 1))
		lines = append(lines, byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner))
	}
	for _, line := range lines { // warm up
		d.Buildctl(b, line...).RequireSuccess(b)
	}

	seconds := make([][]float64, len(lines))
	ratios := map[string][]float64{}
	for b.Loop() {
		for i, line := range lines {
			s := d.Buildctl(b, line...).RequireSuccess(b).Elapsed.Seconds()
			seconds[i] = append(seconds[i], s)
		}
		last := len(seconds[0]) - 1
		direct, forward, mediate, builtin := seconds[0][last], seconds[1][last], seconds[2][last], seconds[3][last]
		for name, r := range map[string]float64{
			"builtin/direct": builtin / direct, "mediate/forward": mediate / forward, "forward/direct": forward / direct,
		} {
			ratios[name] = append(ratios[name], r)
		}
	}
	for i, way := range ways {
		b.ReportMetric(median(seconds[i])*1000, "ms-"+way)
	}
	for name, values := range ratios {
		b.ReportMetric(median(values), name)
	}
	b.ReportMetric(0, "ns/op") // four builds each: of no use by itself
}

// copies is a Dockerfile with so many steps, each of so many files of so long names.
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
