package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// daemonName is the name of the program that BuildKit's tests start as their daemon. Under this
// name, command suite starts the real one with a policy-guard before it.
const daemonName = "buildkitd"

// startTimeout bounds the start of a daemon. BuildKit's tests wait as long.
const startTimeout = 15 * time.Second

// Variables of the environment of [guardedDaemon]. Without a program of policy-guard, calls are
// only passed on.
const (
	realDaemon   = "SUITE_BUILDKITD"
	guardProgram = "SUITE_GUARD"
	guardPolicy  = "SUITE_POLICY"
	guardImage   = "SUITE_IMAGE"
)

// before returns the variables that have BuildKit's tests start each of their daemons behind what
// stands before it on a way.
func (r *suite) before(w way) []string {
	self, err := os.Executable()
	if err != nil {
		r.script.Fatalf("%v", err)
	}
	bin := r.script.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, daemonName)); err != nil {
		r.script.Fatalf("%v", err)
	}
	on := []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), realDaemon + "=" + r.env.Tools.Buildkitd,
	}
	if w.before == proxyAlone {
		return on
	}
	guard, err := r.env.GuardProgram()
	if err != nil {
		r.script.Fatalf("build policy-guard: %v", err)
	}
	file := filepath.Join(r.script.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(w.policy), 0o600); err != nil { //nolint:gosec // its own
		r.script.Fatalf("%v", err)
	}
	return append(on, guardProgram+"="+guard, guardPolicy+"="+file,
		guardImage+"="+r.env.PackMediator(r.script))
}

// guardedDaemon runs buildkitd with its arguments, and policy-guard at the address that they name,
// or only the part of it that passes on calls.
// It returns an exit code, after SIGTERM or when one of the two has ended.
func guardedDaemon(args []string) int {
	if err := runGuarded(args); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		return 1
	}
	return 0
}

func runGuarded(args []string) error {
	// The kernel ends a child when the thread ends that has started it.
	runtime.LockOSThread()
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer release()
	i := slices.Index(args, "--addr")
	if i < 0 || i+1 == len(args) {
		return errors.New("the daemon gets no address")
	}
	listen := args[i+1]
	behind := strings.TrimSuffix(listen, ".sock") + "-behind.sock"
	args = slices.Clone(args)
	args[i+1] = behind

	daemon := child(os.Getenv(realDaemon), args...)
	if err := daemon.Start(); err != nil {
		return err
	}
	ended := end(daemon)
	defer func() { _ = daemon.Process.Signal(syscall.SIGTERM); <-ended }()
	if !harness.Poll(startTimeout, func() bool {
		return harness.Accepts(strings.TrimPrefix(behind, "unix://"))
	}) {
		return errors.New("the daemon doesn't start")
	}
	broken, stop, err := standBefore(listen, behind)
	if err != nil {
		return err
	}
	defer stop()
	select {
	case <-ctx.Done():
		return nil
	case <-broken:
		return errors.New("policy-guard ended")
	case <-ended:
		return errors.New("the daemon ended")
	}
}

// standBefore serves at one address what the daemon serves at another. The channel is closed when
// that has ended.
func standBefore(listen, behind string) (broken <-chan struct{}, stop func(), err error) {
	program := os.Getenv(guardProgram)
	if program == "" {
		return passAll(listen, behind)
	}
	guard := child(program,
		"--policy", os.Getenv(guardPolicy), "--listen", listen, "--upstream", behind,
		"--image", os.Getenv(guardImage))
	if err := guard.Start(); err != nil {
		return nil, nil, err
	}
	broken = end(guard)
	// It would wait for clients that are still connected.
	return broken, func() { _ = guard.Process.Kill(); <-broken }, nil
}

// end returns a channel that is closed when the program has ended.
func end(c *exec.Cmd) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.Wait(); err != nil {
			fmt.Fprintf(os.Stderr, "suite: %s: %v\n", c.Path, err)
		}
	}()
	return ended
}

// child is a program that ends with this one.
func child(path string, args ...string) *exec.Cmd {
	c := exec.Command(path, args...) //nolint:gosec // a program that command suite names
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}
