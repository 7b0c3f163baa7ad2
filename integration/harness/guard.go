package harness

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

// guardPackage is policy-guard's main package.
const guardPackage = "github.com/policy-frontend/policy-frontend/cmd/policy-guard"

// GuardFloor is the first version of buildkitd before which policy-guard stands.
const GuardFloor = "v0.34.0"

// Guarded is a daemon with a policy-guard before it.
type Guarded struct {
	// Daemon is what clients talk to: its address is the guard's.
	*Daemon
	// Behind is the daemon behind the guard.
	Behind *Daemon
	// Policy is the file with the guard's policy.
	Policy string

	program string
	args    []string
	process *Process
	killed  bool
	// terminated says that the guard was asked to end.
	terminated bool
}

// Guard starts policy-guard before a daemon of the given configuration, with a policy and further
// flags. It returns when the guard says that it is ready. When the test ends, it is stopped. On a
// daemon that is too old for the guard, the test is skipped.
func (e *Env) Guard(t T, cfg DaemonConfig, policy string, flags ...string) *Guarded {
	t.Helper()
	e.needsGuard(t)
	behind := e.StartDaemon(t, cfg)
	return e.GuardBefore(t, behind, behind.Addr, policy, flags...)
}

func (e *Env) needsGuard(t T) {
	t.Helper()
	if s, ok := t.(Skipper); ok {
		e.Needs(s, GuardFloor, "it doesn't ask about everything that it reads")
	}
}

// GuardBefore is [Env.Guard] before a daemon that is started already. The guard reaches it by the
// address upstream: a test can stand between the two.
func (e *Env) GuardBefore(
	t T, behind *Daemon, upstream, policy string, flags ...string,
) *Guarded {
	t.Helper()
	e.needsGuard(t)
	program, err := e.guard()
	if err != nil {
		t.Fatalf("build policy-guard: %v", err)
	}
	dir, err := e.TempDir()
	if err != nil {
		t.Fatalf("%v", err)
	}
	// Other users than that of the tests may connect.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("%v", err)
	}
	g := &Guarded{Behind: behind, Policy: filepath.Join(dir, "policy.yaml")}
	if err := os.WriteFile(g.Policy, []byte(policy), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	g.Daemon = &Daemon{
		Addr: "unix://" + filepath.Join(dir, socketName), tools: e.Tools, dir: dir,
		exited: make(chan struct{}),
	}
	g.program, g.args = program, append([]string{
		"--policy", g.Policy, "--listen", g.Addr, "--upstream", upstream,
	}, flags...)
	g.Begin(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", g.process.Output())
		}
		g.Stop(t)
	})
	return g
}

// Begin starts the guard again after [Guarded.Kill], and returns when it says that it is ready.
func (g *Guarded) Begin(t T) {
	t.Helper()
	g.killed, g.terminated = false, false
	var err error
	g.process, err = Command{
		Path: g.program, Args: g.args, Timeout: bakeTimeout,
	}.start(os.Environ())
	if err != nil {
		t.Fatalf("%v", err)
	}
	// One of its listeners may accept connections before the others do.
	ready := func() bool { return strings.Contains(g.Log(), "policy-guard: ready on ") }
	if !Poll(startTimeout, func() bool { return ready() || g.process.Output().ExitCode >= 0 }) ||
		!ready() {
		t.Fatalf("policy-guard doesn't start: %s", g.process.Output())
	}
}

// Pid is the guard's process.
func (g *Guarded) Pid() int { return g.process.cmd.Process.Pid }

// Kill ends the guard as a crash does.
func (g *Guarded) Kill(t T) {
	t.Helper()
	g.killed = true
	g.process.kill()
	<-g.process.done
}

// Terminate asks the guard to end, and doesn't wait for it.
func (g *Guarded) Terminate(t T) {
	t.Helper()
	g.terminated = true
	if err := syscall.Kill(g.Pid(), syscall.SIGTERM); err != nil {
		t.Fatalf("%v", err)
	}
}

// Log returns what the guard has printed.
func (g *Guarded) Log() string { return g.process.Output().Text() }

// Stop ends the clients and then the guard, which has to end by itself with the exit code 0.
func (g *Guarded) Stop(t T) {
	t.Helper()
	g.stopOnce.Do(func() {
		for _, p := range g.clients {
			p.kill()
		}
		if g.killed {
			return
		}
		if !g.terminated { // to ask once more would end it at once
			_ = syscall.Kill(g.Pid(), syscall.SIGTERM)
		}
		if !Poll(stopTimeout, func() bool { return g.process.Output().ExitCode >= 0 }) {
			g.process.kill()
		}
		if o := g.process.Output(); o.ExitCode != 0 {
			t.Errorf("policy-guard should have ended with 0: %s", o)
		}
	})
}

// GuardProgram compiles policy-guard, unless that is done, and returns its path.
func (e *Env) GuardProgram() (string, error) { return e.guard() }

// buildGuard compiles policy-guard and returns its path.
func (e *Env) buildGuard() (string, error) {
	dir, err := e.TempDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "policy-guard")
	return program, provision.GoBuild(e.Tools.Root, provision.Build{
		Out: program, Package: guardPackage, Tags: "grpcnotrace",
	})
}
