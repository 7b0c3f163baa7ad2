package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const (
	// inner is the frontend that builds use straight, and through the policy frontend.
	inner = "docker/dockerfile:1"
	// worker is the one of BuildKit's workers that its tests run on. The other ones need containerd,
	// or accounts of the machine.
	worker = "oci"
	// timeout is for one run of all tests.
	timeout = "90m"
)

// suite runs BuildKit's tests.
type suite struct {
	env      *harness.Env
	script   *harness.Script
	progress *provision.Progress
	provision.Suite
	tested   tested
	parallel int
	// temp is the temporary folder of the tests, and mirror the one of their mirror of Docker Hub.
	temp, mirror string
	// logs is the folder of the tests' output.
	logs string
}

// newSuite builds the tests and makes the images that they need.
func newSuite(script *harness.Script, env *harness.Env, s settings) *suite {
	r := &suite{
		env: env, script: script, progress: provision.NewProgress(os.Stderr), tested: s.suite,
		parallel: s.parallel,
		// Paths of sockets in it may have about 100 bytes. The name of this one is short.
		temp: script.TempDir(), mirror: script.TempDir(), logs: env.Tools.State("suite"),
	}
	if err := r.prepare(); err != nil {
		script.Fatalf("prepare BuildKit's tests: %v", err)
	}
	return r
}

func (r *suite) prepare() (err error) {
	if err := os.MkdirAll(r.logs, 0o755); err != nil {
		return err
	}
	if r.Suite, err = r.env.Tools.Suite(r.tested.pkg); err != nil {
		return err
	}
	err = prependPath(r.script.TempDir(), map[string]string{
		"buildkitd": r.env.Tools.Buildkitd, "buildctl": r.env.Tools.Buildctl,
		"runc": r.env.Tools.RunC, "registry": r.Registry,
	})
	if err != nil {
		return err
	}
	return fillMirror(r.env, r.mirror)
}

// straight returns the variables for builds by docker/dockerfile.
func (r *suite) straight() []string { return r.frontend(r.env.Registry.Ref(inner)) }

// frontend returns the variables for builds by the frontend's image at a full reference.
func (r *suite) frontend(ref string) []string {
	return []string{"FRONTEND_GATEWAY_ONLY=local:" + r.archive(ref)}
}

// through returns the variables for builds on a way.
func (r *suite) through(w way) []string {
	switch {
	case w.before == nothing:
		return r.frontend(r.env.PackProgram(r.script, "", w.policy))
	case w.builtin:
		return append(r.before(w), "FRONTEND_BUILTIN_ONLY=1")
	default:
		return append(r.before(w), r.straight()...)
	}
}

// run runs the tests of the functions that a regular expression matches, with variables in their
// environment that choose their frontend and their daemon. The name is for messages and the log.
func (r *suite) run(name string, on []string, parallel int, which string) results {
	got := results{}
	var done atomic.Int64
	err := r.progress.Count("BuildKit's tests, "+name, "tests done", &done, func() (err error) {
		got, err = r.tests(name, on, parallel, which, func() { done.Add(1) })
		return err
	})
	if err != nil {
		r.script.Fatalf("run BuildKit's tests, %s: %v", name, err)
	}
	return got
}

func (r *suite) tests(
	name string, on []string, parallel int, which string, ended func(),
) (results, error) {
	file := strings.ReplaceAll(strings.ReplaceAll(r.tested.name+" "+name, ",", ""), " ", "-") + ".log"
	log, err := os.Create(filepath.Join(r.logs, file)) //nolint:gosec // the name of a way
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// A process namespace of their own ends all that the tests have started when they end, and a
	// mount namespace unmounts all that they have mounted.
	tests := exec.Command("unshare", //nolint:gosec // runs what the caller chooses of the tests
		"--pid", "--fork", "--kill-child", "--mount", "--mount-proc",
		r.Tests, "-test.v=test2json", "-test.timeout="+timeout, "-test.run="+r.tested.pattern(which))
	tests.Dir = r.Dir
	tests.Env = append(append(os.Environ(),
		"TMPDIR="+r.temp,
		"BUILDKIT_REGISTRY_MIRROR_DIR="+r.mirror,
		// BuildKit's tests run as many at a time.
		fmt.Sprintf("GOMAXPROCS=%d", parallel),
	), on...)
	tests.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	convert := exec.Command("go", "tool", "test2json")
	convert.Stderr = os.Stderr
	if convert.Stdin, err = tests.StdoutPipe(); err != nil {
		return nil, err
	}
	tests.Stderr = log
	events, err := convert.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tests.Start(), convert.Start()); err != nil {
		return nil, err
	}
	got, err := readResults(events, log, ended)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, events)
	if err := convert.Wait(); err != nil {
		return nil, fmt.Errorf("read the tests' output: %w", err)
	}
	// Failed tests make it fail, and the results say so.
	if err := tests.Wait(); err != nil && len(got) == 0 {
		return nil, fmt.Errorf("%w, see %s", err, log.Name())
	}
	return got, nil
}

// pattern returns the regular expression of `go test -run` for the tests of the functions that
// which matches.
func (t tested) pattern(which string) string {
	return anyOf(t.functions) + "/(" + which + ")/^worker=" + worker + "$"
}

// anyOf returns a regular expression for the names of functions.
func anyOf(functions []string) string {
	return "^(" + strings.Join(functions, "|") + ")$"
}
