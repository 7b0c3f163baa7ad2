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
// rebind and no policy, and straight to docker/dockerfile.
func BenchmarkWarmBuild(b *testing.B) {
	us := env.WithPolicy(b, corpPolicy)
	noop := env.Registry.Ref(env.Frontend(b, harness.NoopForwarder))
	d := env.StartDaemon(b, harness.DaemonConfig{DockerfileOff: true, Quiet: true})
	dir := harness.WriteContext(b, map[string]string{"Dockerfile": goodFile})
	seconds := inTurn(b, d, 5, [][]string{
		byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner),
		byBuildctl(dir, noop, "--opt", "cmdline="+noop+" "+inner),
		byBuildctl(dir, inner, "--opt", "cmdline="+inner),
	})
	policy, forwarder, direct := seconds[0], seconds[1], seconds[2]
	b.ReportMetric(median(policy)*1000, "ms/build")
	reportRatio(b, "x-noop", policy, forwarder)
	reportRatio(b, "x-direct", policy, direct)
	reportRatio(b, "noop-x-direct", forwarder, direct)
	b.ReportMetric(0, "ns/op") // many builds each: of no use by itself
}

// inTurn has buildctl run each line once, so that all is in the cache, and then in
// turn, so many turns in each round of the benchmark, so that ratios hold while the
// machine's speed drifts. It returns how long each line took in each turn.
func inTurn(b *testing.B, d *harness.Daemon, turns int, lines [][]string) (seconds [][]float64) {
	b.Helper()
	for _, line := range lines {
		d.Buildctl(b, line...).RequireSuccess(b)
	}
	seconds = make([][]float64, len(lines))
	turn := func() {
		for _, i := range rand.Perm(len(lines)) { // what one leaves to do falls on each other one
			s := d.Buildctl(b, lines[i]...).RequireSuccess(b).Elapsed.Seconds()
			seconds[i] = append(seconds[i], s)
		}
	}
	for b.Loop() {
		for range turns {
			turn()
		}
	}
	return seconds
}

// reportRatio reports the median over all turns of what one line took for what another
// did, and with ± after its name how sure that is: so much higher or lower may it be, 19
// times of 20.
func reportRatio(b *testing.B, name string, one, other []float64) {
	b.Helper()
	ratios := make([]float64, len(one))
	for turn := range ratios {
		ratios[turn] = one[turn] / other[turn]
	}
	b.ReportMetric(median(ratios), name)
	b.ReportMetric(doubt(ratios), name+"±")
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
