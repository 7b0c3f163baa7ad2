package integration

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// maxPeak is how much memory the policy frontend's process may ever have had, in MiB, under a limit
// of 64MiB: the limit is for what it allocates, and the program itself comes on top.
const maxPeak = 128

// memoryAttack is an attack on the memory of the policy frontend's process, under a limit of 64MiB.
type memoryAttack struct {
	attack  attack
	timeout string // the policy's limits.timeout, if the attack lasts that long
	outcome outcome
}

// memoryAttacks are attacks on the memory of the policy frontend's process. They aren't among
// [attacks], or do more here: BuildKit alone takes as much memory as they like.
func memoryAttacks() map[string]memoryAttack {
	const (
		short    = "20s"
		long     = "90s" // another clock ends these
		noEnd    = "requests without end"
		ofHealth = "METHOD=/grpc.health.v1.Health/Check"
		ofExec   = "METHOD=/moby.buildkit.v1.frontend.LLBBridge/ExecProcess"
	)
	works := func(proof string) outcome { return outcome{proof: proof} }
	refused := func(texts ...string) outcome { return outcome{refused: texts} }
	outOfMemory := refused("take more than 64MiB of memory", "limits.memory")
	late := refused("did not end within 20s", "limits")
	disconnected := refused("it kept running for 10s after its connection was closed")
	return map[string]memoryAttack{
		"headers that decompress to 16 MiB": {attack{name: "header bombs"}, short, late},
		"128 requests of 16 MiB that never end": {
			attack{name: noEnd, args: args("FRAME=16384")}, short, late,
		},
		// Bytes that come one by one take a hundred times their size until they are read. What
		// bounds that is the process's look at its own memory, or the time.
		"128 requests of 16 MiB that come byte by byte": {
			attack{name: noEnd, args: args("FRAME=1")}, "30s", refused("limits"),
		},
		"128 calls of the health service that never end": {
			attack{name: noEnd, args: args("FRAME=16384", ofHealth)}, short, late,
		},
		"128 messages of 16 MiB to processes that never end": {
			attack{name: noEnd, args: args("FRAME=16384", ofExec)}, "", outOfMemory,
		},
		"a request larger than 16 MiB": {
			attack{name: "huge message"}, "", outcome{stopped: "larger than max"},
		},
		"a request that grows in memory": {attack{name: "growing request"}, "", outOfMemory},
		// The daemon takes answers of any size into its own memory. What bounds the attack is the
		// process's look at its own memory, or the time.
		"300 answers of 15 MB that nobody reads": {
			attack{name: "deaf", args: args("SIZE=15000000")}, short, refused("limits"),
		},
		"300 answers of 1 MiB that nobody reads": {attack{name: "deaf"}, short, late},
		"pings whose answers nobody reads":       {attack{name: "deaf to pings"}, long, disconnected},
		"100000 calls that do nothing":           {attack{name: "streams"}, short, late},
		"solves without end":                     {attack{name: "endless solving"}, short, late},
		"1000 solves at once without end":        {attack{name: "endless solving all"}, short, late},
		"output without end":                     {attack{name: "endless stdout"}, long, disconnected},
		"error output without end": {
			attack{name: "endless stderr"}, "", refused("more than 64 MiB to its stderr"),
		},
		"20 nested copies that keep definitions": {
			attack{name: "keeping"}, "", works("what they keep is bounded"),
		},
		"120 nested frontends at once": {attack{name: "crowd"}, "", works("all of them ran")},
		"a frontend that nests itself 100 times": {
			attack{name: "endless nesting", args: args("DEPTH=100")}, "", refused("limits.nesting"),
		},
		"640 MB of warnings": {attack{name: "warnings"}, "", works("it warned")},
		"60 containers left behind": {
			attack{name: "leave containers", containers: true}, short, late,
		},
	}
}

// Whatever a frontend does, the process that judges it stays small. Attacks that last until a clock
// ends them run at the same time: the peak is that of the largest process.
func TestHostileFrontendWithinMemory(t *testing.T) { //nolint:paralleltest // it measures processes
	pushHostile(t)
	d := soleHostile(t)
	t.Cleanup(func() {
		requireNothingLeft(t, d, env.WithPolicy(t, hostilePolicyFor(attack{}, "mediate")))
	})
	attacks := memoryAttacks()
	for _, name := range slices.Sorted(maps.Keys(attacks)) {
		t.Run(name, func(t *testing.T) {
			a := attacks[name]
			limits := "limits: {memory: 64MiB, "
			if a.timeout != "" {
				t.Parallel()
				limits += "timeout: " + a.timeout + ", "
			}
			us := env.WithPolicy(t,
				strings.Replace(hostilePolicyFor(a.attack, "mediate"), "limits: {", limits, 1))
			var got outcome
			peak := attackPeak(t, func() { got = a.attack.run(t, d, name, us) })
			requireOutcome(t, a.outcome, got)
			requirePeak(t, peak)
		})
	}
}

// With dispatch: builtin, build files are read in the process that judges them. With any dispatch,
// it shows the line that a refusal is about.
func TestHostileFilesWithinMemory(t *testing.T) { //nolint:paralleltest // it measures processes
	const (
		head    = "# syntax=docker/dockerfile:1\nFROM scratch\n"
		builtin = "builtin"
	)
	globs, stages := &strings.Builder{}, &strings.Builder{}
	for i := range 150_000 {
		fmt.Fprintf(globs, "**/[a-z]%d*/**/?x*\n", i)
	}
	for i := range 20_000 {
		fmt.Fprintf(stages, "FROM scratch AS s%d\n", i)
	}
	d := env.SolePermitted(t)
	for _, tc := range []struct {
		name, dispatch string
		files          map[string]string
		refusal        string // "" if the build succeeds
	}{
		{
			"a build file whose variables double 40 times", builtin,
			dockerfileOf(head + "ARG B=0123456789\n" + strings.Repeat("ARG B=${B}${B}\n", 40)),
			"its variables expand to more than 8 MiB",
		},
		{
			"a .dockerignore with 150000 globs", builtin,
			map[string]string{".dockerignore": globs.String(), "Dockerfile": head + "COPY . /\n"},
			"error: ", // of the daemon if its own limit on headers is met first, else of limits.memory
		},
		{
			"a build file with 20000 stages", builtin,
			dockerfileOf(head + stages.String() + "FROM scratch\nCOPY Dockerfile /\n"), "",
		},
		{
			"a refusal at a line of a build file of 12 MB", "mediate",
			dockerfileOf(head + "COPY --from=bases/denied:1 / /\n" +
				strings.Repeat("# "+strings.Repeat("x", 997)+"\n", 12_000)),
			"bases/denied:1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			us := env.WithPolicy(t, "version: 1\ndispatch: "+tc.dispatch+
				"\nlimits: {memory: 64MiB, timeout: 2m}\nfrontends: [{match: [docker/dockerfile]}]\n"+
				"build: {images: {deny: [bases/denied]}}\n")
			dir := harness.WriteContext(t, tc.files)
			var o harness.Output
			peak := attackPeak(t, func() { o = d.Buildctl(t, byBuildctl(dir, us)...) })
			if tc.refusal == "" {
				o.RequireSuccess(t)
			} else {
				o.RequireFailure(t, tc.refusal)
			}
			requirePeak(t, peak)
		})
	}
}

func dockerfileOf(text string) map[string]string {
	return map[string]string{"Dockerfile": text}
}

// attackPeak returns the peak of the memory of the policy frontend's process while f runs, in MiB.
// It logs a row of the table in docs/performance.md.
func attackPeak(t *testing.T, f func()) float64 {
	t.Helper()
	began := time.Now()
	peak := peakDuring("/policy-frontend", f).whole
	_, name, _ := strings.Cut(t.Name(), "/")
	t.Logf("| %s | %.0f MiB | %.0f s |", strings.ReplaceAll(name, "_", " "), peak,
		math.Ceil(time.Since(began).Seconds()))
	return peak
}

func requirePeak(t *testing.T, peak float64) {
	t.Helper()
	require.Positive(t, peak, "no process was seen")
	require.LessOrEqual(t, peak, float64(maxPeak))
}
