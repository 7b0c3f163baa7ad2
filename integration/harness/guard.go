package harness

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

// guardPackage is policy-guard's main package.
const guardPackage = "github.com/policy-frontend/policy-frontend/cmd/policy-guard"

// Guarded is a daemon with a policy-guard before it.
type Guarded struct {
	// Daemon is what clients talk to: its address is the guard's.
	*Daemon
	// Behind is the daemon behind the guard.
	Behind *Daemon
	// Policy is the file with the guard's policy.
	Policy string

	process *Process
}

// Guard starts policy-guard before a daemon of the given configuration, with a policy and further
// flags. It returns when the guard accepts connections. When the test ends, it is stopped.
func (e *Env) Guard(t T, cfg DaemonConfig, policy string, flags ...string) *Guarded {
	t.Helper()
	program, err := e.guard()
	if err != nil {
		t.Fatalf("build policy-guard: %v", err)
	}
	behind := e.StartDaemon(t, cfg)
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
	args := append([]string{
		"--policy", g.Policy, "--listen", g.Addr, "--upstream", behind.Addr,
	}, flags...)
	g.process, err = Command{Path: program, Args: args, Timeout: bakeTimeout}.start(os.Environ())
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", g.process.Output())
		}
		g.Stop(t)
	})
	if !Poll(startTimeout, func() bool { return g.accepts() || g.process.Output().ExitCode >= 0 }) ||
		!g.accepts() {
		t.Fatalf("policy-guard doesn't start: %s", g.process.Output())
	}
	return g
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
		_ = syscall.Kill(g.process.cmd.Process.Pid, syscall.SIGTERM)
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
