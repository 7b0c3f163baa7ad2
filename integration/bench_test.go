package integration

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// BenchmarkWarmBuild measures a trivial build whose steps are all cached. It measures whole
// processes of buildctl: through the image, through a forwarder that has the same rebind and no
// policy, and directly to docker/dockerfile.
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
	b.ReportMetric(0, "ns/op") // an operation is many builds, so its time says nothing
}

// inTurn runs buildctl with each line in turn; see [takeTurns].
func inTurn(b *testing.B, d *harness.Daemon, turns int, lines [][]string) (seconds [][]float64) {
	b.Helper()
	var runs []func() harness.Output
	for _, line := range lines {
		runs = append(runs, patient(b, d, line))
	}
	return takeTurns(b, turns, runs)
}

// patient runs buildctl. A first build of many steps can take minutes on a busy machine.
func patient(b *testing.B, d *harness.Daemon, line []string) func() harness.Output {
	b.Helper()
	c := d.BuildctlCommand(line...)
	c.Timeout = 15 * time.Minute
	return func() harness.Output { return d.Run(b, c) }
}

// takeTurns runs each build once, to fill the cache. Then it runs them in turn, several turns in
// each round of the benchmark. Taking turns keeps the ratios valid while the machine's speed
// changes. It returns the seconds that each build took in each turn.
func takeTurns(b *testing.B, turns int, runs []func() harness.Output) (seconds [][]float64) {
	b.Helper()
	for _, run := range runs {
		run().RequireSuccess(b)
	}
	seconds = make([][]float64, len(runs))
	turn := func() {
		for _, i := range rand.Perm(len(runs)) { // a build's leftover work slows each other one alike
			seconds[i] = append(seconds[i], runs[i]().RequireSuccess(b).Elapsed.Seconds())
		}
	}
	for b.Loop() {
		for range turns {
			turn()
		}
	}
	return seconds
}

// reportRatio reports the median ratio of two lines' times over all turns. It also reports, under
// the name with ±, the margin that is right 19 times of 20.
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

// doubt returns the margin of error of a median, for 19 times of 20. The binomial distribution,
// approximated by a normal one, gives the two values that enclose the true median. The margin is
// half of their distance.
func doubt(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	middle, reach := float64(len(s))/2, 0.98*math.Sqrt(float64(len(s)))
	low, high := max(0, int(middle-reach)), min(len(s)-1, int(middle+reach))
	return (s[high] - s[low]) / 2
}
