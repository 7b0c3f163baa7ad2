package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// maxPeak is how much memory the policy frontend's process may ever have had, in MiB, under a limit
// of 64MiB: the limit is for what it allocates, and the program itself comes on top.
const maxPeak = 128

// Attacks on the memory of the policy frontend's process. They aren't among [attacks]: BuildKit
// alone takes as much memory as they like.
func memoryAttacks() map[string]struct {
	attack  attack
	limits  string // of the policy
	outcome outcome
	rule    string // that refuses the build, if one does
} {
	type row = struct {
		attack  attack
		limits  string
		outcome outcome
		rule    string
	}
	const small, short = "memory: 64MiB", "memory: 64MiB, timeout: 20s"
	outOfMemory := outcome{refused: []string{"take more than 64MiB of memory", "limits.memory"}}
	late := outcome{refused: []string{"did not end within 20s"}}
	deaf := attack{name: "deaf", args: args("SIZE=15000000")}
	whole := attack{name: "requests without end", args: args("FRAME=16384")}
	return map[string]row{
		"headers that decompress to 16 MiB": {attack{name: "header bombs"}, short, late, "limits"},
		"requests of 16 MiB that never end": {whole, short, late, "limits"},
		"answers that nobody reads":         {deaf, small, outOfMemory, "limits"},
		"a request that grows in memory": {
			attack{name: "growing request"}, small, outOfMemory, "limits",
		},
		"nested copies that keep definitions": {
			attack{name: "keeping"}, small, outcome{proof: "what they keep is bounded"}, "",
		},
		"120 nested frontends at once": {
			attack{name: "crowd"}, small, outcome{proof: "all of them ran"}, "",
		},
		"640 MB of warnings": {attack{name: "warnings"}, small, outcome{proof: "it warned"}, ""},
		"60 containers left behind": {
			attack{name: "leave containers", containers: true}, short, late, "limits",
		},
	}
}

// Whatever a frontend does, the process that judges it stays small.
func TestHostileFrontendWithinMemory(t *testing.T) { //nolint:paralleltest // it measures processes
	pushHostile(t)
	d := soleHostile(t)
	for name, a := range memoryAttacks() {
		t.Run(name, func(t *testing.T) {
			policy := hostilePolicyFor(a.attack, "mediate")
			us := env.WithPolicy(t, strings.Replace(policy, "limits: {", "limits: {"+a.limits+", ", 1))
			var got outcome
			peak := peakDuring("/policy-frontend", func() { got = a.attack.run(t, d, name, us) })
			requirePeak(t, peak)
			requireOutcome(t, a.outcome, got)
			if a.rule != "" {
				require.Contains(t, strings.Join(got.refused, ""), a.rule)
			}
		})
	}
	requireNothingLeft(t, d, env.WithPolicy(t, hostilePolicyFor(attack{}, "mediate")))
}

// Single bytes take a hundred times their size until they are read, and nothing but the process's
// look at its own memory bounds that.
func TestHostileFrontendThatSendsSingleBytes(t *testing.T) { //nolint:paralleltest // see above
	pushHostile(t)
	d := soleHostile(t)
	a := attack{name: "requests without end", args: args("FRAME=1")}
	us := env.WithPolicy(t, strings.Replace(hostilePolicyFor(a, "mediate"), "limits: {",
		"limits: {memory: 64MiB, timeout: 30s, ", 1))
	var got outcome
	peak := peakDuring("/policy-frontend", func() { got = a.run(t, d, a.name, us) })
	requirePeak(t, peak)
	requireOutcome(t, outcome{refused: []string{"limits"}}, got)
}

// With dispatch: builtin, build files are read in the process that judges them.
func TestHostileFilesWithinMemory(t *testing.T) { //nolint:paralleltest // it measures processes
	const head = "# syntax=docker/dockerfile:1\nFROM scratch\n"
	globs := &strings.Builder{}
	for i := range 150_000 {
		fmt.Fprintf(globs, "**/[a-z]%d*/**/?x*\n", i)
	}
	us := env.WithPolicy(t, "version: 1\ndispatch: builtin\nlimits: {memory: 64MiB, timeout: 30s}\n"+
		"frontends: [{match: [docker/dockerfile]}]\n")
	d := env.SolePermitted(t)
	for name, tc := range map[string]struct {
		files   map[string]string
		refusal string
	}{
		"variables that double": {
			dockerfileOf(head + "ARG B=0123456789\n" + strings.Repeat("ARG B=${B}${B}\n", 40)),
			"its variables expand to more than 8 MiB",
		},
		"globs": {
			map[string]string{".dockerignore": globs.String(), "Dockerfile": head + "COPY . /\n"},
			"error: ", // of the daemon if its own limit on headers is met first, else of limits.memory
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := harness.WriteContext(t, tc.files)
			var o harness.Output
			peak := peakDuring("/policy-frontend", func() {
				o = d.Buildctl(t, byBuildctl(dir, us)...)
			})
			requirePeak(t, peak)
			o.RequireFailure(t, tc.refusal)
		})
	}
}

func dockerfileOf(text string) map[string]string {
	return map[string]string{"Dockerfile": text}
}

func requirePeak(t *testing.T, peak memory) {
	t.Helper()
	t.Logf("peak of the resident memory: %.1f MiB", peak.whole)
	require.Positive(t, peak.whole, "no process was seen")
	require.LessOrEqual(t, peak.whole, float64(maxPeak))
}
