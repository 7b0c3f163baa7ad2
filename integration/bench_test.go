package integration

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// BenchmarkWarmBuild times a trivial build whose every step is cached, as whole
// processes of buildctl: through the image, through a forwarder with the same
// rebind and no policy, and straight to docker/dockerfile. The three run in turn, in
// an order drawn anew each time, so that the ratios hold while the machine's speed
// drifts; they are medians over all turns, of which each round has five.
func BenchmarkWarmBuild(b *testing.B) {
	us := env.WithPolicy(b, corpPolicy)
	noop := env.Registry.Ref(env.Frontend(b, harness.NoopForwarder))
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": goodFile})
	const inner = "docker/dockerfile:1"
	lines := [][]string{
		byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner),
		byBuildctl(dir, noop, "--opt", "cmdline="+noop+" "+inner),
		byBuildctl(dir, inner, "--opt", "cmdline="+inner),
	}
	for _, line := range lines { // warm up
		d.Buildctl(b, line...).RequireSuccess(b)
	}

	var toNoop, toDirect, noopToDirect, own []float64
	for b.Loop() {
		for range 5 {
			var seconds [3]float64
			for _, i := range rand.Perm(len(lines)) {
				seconds[i] = d.Buildctl(b, lines[i]...).RequireSuccess(b).Elapsed.Seconds()
			}
			own = append(own, seconds[0]*1000)
			toNoop = append(toNoop, seconds[0]/seconds[1])
			toDirect = append(toDirect, seconds[0]/seconds[2])
			noopToDirect = append(noopToDirect, seconds[1]/seconds[2])
		}
	}
	b.ReportMetric(median(own), "ms/build")
	b.ReportMetric(median(toNoop), "x-noop")
	b.ReportMetric(doubt(toNoop), "x-noop±")
	b.ReportMetric(median(toDirect), "x-direct")
	b.ReportMetric(median(noopToDirect), "noop-x-direct")
	b.ReportMetric(0, "ns/op") // fifteen builds each: of no use by itself
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// doubt returns by how much the median of all values that might have been measured may
// be other than that of these: half of what lies between the two that have it between
// them 19 times of 20 (the binomial distribution's, as a normal one).
func doubt(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	middle, reach := float64(len(s))/2, 0.98*math.Sqrt(float64(len(s)))
	low, high := max(0, int(middle-reach)), min(len(s)-1, int(middle+reach))
	return (s[high] - s[low]) / 2
}
