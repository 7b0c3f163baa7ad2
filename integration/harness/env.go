package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// Env is what all tests of one process share: the programs, a registry and the
// images in it. What takes long is made when it is first asked for, once.
type Env struct {
	Tools    *provision.Tools
	Registry *registry.Registry

	progress    *provision.Progress
	buildkitd   provision.Daemon
	reaper      *reaper
	snapshotter func() string
	stopSignals func()
	frontends   testFrontends
	image       func() (string, error)
}

// NewEnv prepares the programs, starts the registry and pushes the images that
// every test needs: docker/dockerfile and busybox. Progress of long steps goes
// to progress. Close must be called; it also happens on SIGINT and SIGTERM.
func NewEnv(progress io.Writer) (*Env, error) {
	if err := sweep(); err != nil {
		return nil, err
	}
	say := provision.NewProgress(progress)
	tools, err := provision.Prepare(say)
	if err != nil {
		return nil, err
	}
	under, err := tools.ChooseBuildkitd(os.Getenv(provision.BuildkitdVariable))
	if err != nil {
		return nil, err
	}
	e := &Env{
		Tools:       tools,
		progress:    say,
		buildkitd:   under,
		reaper:      newReaper(),
		snapshotter: sync.OnceValue(bestSnapshotter),
	}
	e.frontends.ready = map[TestFrontend]error{}
	e.image = sync.OnceValues(func() (string, error) { return e.makeImage("") })
	e.stopSignals = e.reaper.onSignal()
	if err := e.startRegistry(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.pushDockerImages(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Env) startRegistry() error {
	dir, err := e.TempDir()
	if err != nil {
		return err
	}
	if e.Registry, err = registry.New(dir, 0); err != nil {
		return err
	}
	e.reaper.add("registry", e.Registry.Close)
	return nil
}

// TempDir makes a folder that is removed by Close, or if a signal ends the
// process.
func (e *Env) TempDir() (string, error) {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err == nil {
		e.reaper.add(dir, func() error { return os.RemoveAll(dir) })
	}
	return dir, err
}

// Plain starts a daemon that allows every frontend, to compare with.
func (e *Env) Plain(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{})
}

// SolePermitted starts a daemon on which the product is the only way in:
// dockerfile.v0 is off and the product's repository the one allowed.
func (e *Env) SolePermitted(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{DockerfileOff: true, AllowedRepositories: []string{e.Repository()}})
}

// DockerfileOn starts a daemon with the product's repository as the one allowed
// and dockerfile.v0 on, as `# syntax=<product> <inner>` lines need it.
func (e *Env) DockerfileOn(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{AllowedRepositories: []string{e.Repository()}})
}

// Close stops the daemons that still run, then the registry.
func (e *Env) Close() error {
	e.stopSignals()
	return e.reaper.runAll()
}

// Main is the body of a TestMain: it makes the environment, hands it to use,
// runs the tests and cleans up. The result is for os.Exit.
func Main(m interface{ Run() int }, use func(*Env)) int {
	e, err := NewEnv(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare the end-to-end tests:", err)
		return 1
	}
	use(e)
	code := m.Run()
	if err := e.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up after the end-to-end tests:", err)
		return 1
	}
	return code
}

// bestSnapshotter is overlayfs where the kernel can mount one in the temporary
// folder, as it can't on top of another overlay, and native elsewhere.
func bestSnapshotter() string {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return "native"
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return "native"
		}
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)
	if err := syscall.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return "native"
	}
	if err := syscall.Unmount(merged, 0); err != nil {
		return "native"
	}
	return "overlayfs"
}
