package integration

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const (
	hostile = "frontends/hostilefrontend:1"
	// The same image under a name that no policy allows.
	otherHostile = "frontends/otherhostile:1"
	// Images with a file /marker that contains their name.
	allowedBase = "bases/allowed:1"
	deniedBase  = "bases/denied:1"
)

// outcome is the outcome of an attack. Exactly one of its fields is set.
type outcome struct {
	// proof is what the attack shows as proof that it worked.
	proof string
	// stopped is the error that the frontend got. The attack failed, and the build went on without it.
	stopped string
	// refused are texts in the error that ended the build.
	refused []string
	// hangs says that the build runs until the client stops it.
	hangs bool
	// endless says that the build is refused when its time is up.
	endless bool
	// ruins says that BuildKit keeps a container that it can't end, even when it stops. So no test
	// makes this attack on BuildKit alone.
	ruins bool
}

// attack is an attack of the hostile frontend. Its key in the table is its name.
type attack struct {
	name       string            // replaces the key as its name
	args       map[string]string // build-args in addition to those of all attacks
	grant      []string          // entitlements that both the client and the daemon grant
	containers bool              // the policy allows the frontend to start containers
	// These are the outcomes on a daemon without the policy frontend, and with each dispatch. The
	// first shows that the attack can work; otherwise the others would prove nothing. With dispatch:
	// forward, only the result is checked. So forward is set only for attacks that this stops.
	plain, mediate, forward outcome
	// guard is the outcome through policy-guard with dispatch: forward and the same build rules, and
	// guardAlone the one without build rules. They are set only where they say more than forward.
	guard, guardAlone outcome
}

// given reports whether the table says what the outcome is.
func (o outcome) given() bool { return o.proof != "" || o.stopped != "" || o.refused != nil }

// pushHostile pushes the hostile frontend and the images that its attacks read.
func pushHostile(t *testing.T) {
	t.Helper()
	env.Frontend(t, harness.HostileFrontend)
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(hostile), env.Registry.Ref(otherHostile)))
	for _, ref := range []string{allowedBase, deniedBase} {
		_, err := env.Registry.AppendFile(env.Registry.Ref("library/busybox:latest"),
			env.Registry.Ref(ref), "/marker", []byte(ref), 0o644)
		require.NoError(t, err)
	}
}

// grantable returns all entitlements that a daemon can grant.
func grantable() []string { return []string{"network.host", "security.insecure"} }

// hostileFile is the build file of all attacks. If the hostile frontend runs docker/dockerfile,
// that builds it.
const hostileFile = "# syntax=" + hostile + "\n" +
	"FROM scratch AS from-input\nCOPY --from=input /marker /proof\nFROM scratch AS result\n" +
	"COPY --from=" + deniedBase + " /marker /proof\n"

// run makes the attack on a daemon and returns its outcome. source names the frontend, and more are
// further arguments of buildctl.
func (a attack) run(t *testing.T, d *harness.Daemon, name, source string, more ...string) outcome {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	args := byBuildctl(harness.WriteContext(t, map[string]string{"Dockerfile": hostileFile}), source,
		"--output", "type=local,dest="+out, "--secret", "id=other,env=OTHER", "--ssh",
		"default="+startAgent(t, "key"))
	args = append(args, more...)
	for _, g := range a.grant {
		args = append(args, "--allow", g)
	}
	all := map[string]string{
		"ATTACK": cmp.Or(a.name, name), "ALLOWED": allowedBase, "DENIED": deniedBase, "SELF": hostile,
		"DOCKERFILE": inner, "OTHER": otherHostile, "ADDRESS": env.Registry.Host(), "SECONDS": "31539999",
	}
	maps.Copy(all, a.args)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "--opt", "build-arg:"+k+"="+all[k])
	}
	c := d.BuildctlCommand(args...)
	c.Env = []string{"OTHER=hunter2"}
	p := d.Start(t, c)
	if a.plain.hangs && source == hostile && hangs(t, d, p) {
		return outcome{hangs: true}
	}
	o := p.Wait(t)
	if o.ExitCode != 0 {
		require.NoDirExists(t, out, "something was exported")
		return outcome{refused: []string{o.Text()}}
	}
	// An attack may be in the second of two platforms.
	for _, platform := range []string{"", "linux_arm64"} {
		if proof, err := os.ReadFile(filepath.Join(out, platform, "proof")); err == nil {
			return outcome{proof: string(proof)}
		}
	}
	stopped, err := os.ReadFile(filepath.Join(out, "stopped"))
	require.NoError(t, err, "%s", o)
	return outcome{stopped: string(stopped)}
}

// hangs reports whether a build that has begun does nothing more. If so, it interrupts the build.
func hangs(t *testing.T, d *harness.Daemon, p *harness.Process) bool {
	t.Helper()
	ended := func() bool { return p.Output().ExitCode >= 0 }
	require.True(t, harness.Poll(time.Minute,
		func() bool { return ended() || len(d.Containers()) > 0 }), "nothing started")
	if harness.Poll(hangsFor, ended) {
		return false
	}
	p.Interrupt(t)
	p.Wait(t).RequireFailure(t)
	return true
}

// hangsFor is how long a build has to do nothing before it counts as one that hangs.
const hangsFor = 3 * time.Second

// requireOutcome fails the test unless an attack had the wanted outcome. A text only has to contain
// the wanted one.
func requireOutcome(t *testing.T, want, got outcome) {
	t.Helper()
	describe := func(o outcome) string {
		return fmt.Sprintf("proof %q, stopped %q, refused %q, hangs %v", o.proof, o.stopped, o.refused,
			o.hangs)
	}
	t.Logf("it came to: %s", describe(got))
	kinds := func(o outcome) [4]bool {
		return [4]bool{
			o.proof != "", o.stopped != "", o.refused != nil, o.hangs,
		}
	}
	require.Equal(t, kinds(want), kinds(got))
	require.Contains(t, got.proof, want.proof)
	require.Contains(t, got.stopped, want.stopped)
	for _, text := range want.refused {
		require.Contains(t, strings.Join(got.refused, ""), text)
	}
}

// requireNothingLeft fails the test if a container of the daemon still runs, or if the daemon can't
// build any more.
func requireNothingLeft(t *testing.T, d *harness.Daemon, source string) {
	t.Helper()
	gone := harness.Poll(time.Minute, func() bool { return len(d.Containers()) == 0 })
	require.True(t, gone, "containers that go on: %v", d.Containers())
	out := t.TempDir()
	d.Buildctl(t, byBuildctl(harness.WriteContext(t, dockerfile(inner)), source, "--output",
		"type=local,dest="+out)...).RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
}
