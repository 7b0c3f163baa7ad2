package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// Env holds what all tests of one process share: the programs, a registry and the images
// in it. Things that take long to make are made once, when a test first needs them.
type Env struct {
	Tools    *provision.Tools
	Registry *registry.Registry

	progress    *provision.Progress
	buildkitd   provision.Daemon
	existing    *existing // nil: daemons are started
	hub         hub
	reaper      *reaper
	snapshotter func() string
	stopSignals func()
	frontends   testFrontends
	image       func() (string, error)
	mediator    func() (string, error)
	golang      func() error
	guard       func() (string, error)
	packed      func() (string, error) // the mediator, packed
}

// NewEnv prepares the programs, starts the registry and pushes the images that every test
// needs: docker/dockerfile and busybox. It prints lines about long steps to progress. The
// caller must call Close; SIGINT and SIGTERM do it too.
func NewEnv(progress io.Writer, programs ...provision.Program) (*Env, error) {
	if err := checkVariables(); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	host := os.Getenv(BuildkitHostVariable)
	if host != "" {
		programs = slices.DeleteFunc(slices.Clone(programs), func(p provision.Program) bool {
			return p == provision.Buildkitd
		})
	}
	say := provision.NewProgress(progress)
	tools, err := provision.Prepare(say, programs...)
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
	e.image = sync.OnceValues(e.plainImage)
	e.mediator = sync.OnceValues(func() (string, error) { return e.makeImage(mediatorTarget, "") })
	e.golang = sync.OnceValue(e.pushGolang)
	e.guard = sync.OnceValues(e.buildGuard)
	e.packed = sync.OnceValues(e.packMediator)
	e.stopSignals = e.reaper.onSignal()
	if err := e.startRegistry(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if e.hub, err = newHub(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := e.pushDockerImages(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if host != "" {
		if e.existing, err = e.probe(host); err != nil {
			return nil, errors.Join(err, e.Close())
		}
		e.buildkitd = provision.Daemon{Version: e.existing.version}
	}
	return e, nil
}

func (e *Env) startRegistry() error {
	port, err := registryPort()
	if err != nil {
		return err
	}
	dir, err := e.TempDir()
	if err != nil {
		return err
	}
	if e.Registry, err = registry.New(dir, port); err != nil {
		return err
	}
	e.reaper.add("registry", e.Registry.Close)
	return nil
}

// TempDir makes a directory. Close unmounts what is mounted in it and removes it, and so does a
// signal that ends the process.
func (e *Env) TempDir() (string, error) {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err == nil {
		e.reaper.add(dir, func() error { return removeRoot(dir) })
	}
	return dir, err
}

// Plain starts a daemon that allows every frontend, to compare with.
func (e *Env) Plain(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{})
}

// SolePermitted starts a daemon on which the product is the only way in: dockerfile.v0 is
// off, and no repository but the product's is allowed.
func (e *Env) SolePermitted(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{
		DockerfileOff:       true,
		AllowedRepositories: []string{e.Repository()},
	})
}

// DockerfileOn starts a daemon on which dockerfile.v0 is on and no repository but the
// product's is allowed, as `# syntax=<product> <inner>` lines need it.
func (e *Env) DockerfileOn(t T) *Daemon {
	t.Helper()
	return e.StartDaemon(t, DaemonConfig{AllowedRepositories: []string{e.Repository()}})
}

// Close stops the daemons that still run, then the registry.
func (e *Env) Close() error {
	e.stopSignals()
	return e.reaper.runAll()
}

// Main is the body of a TestMain: it makes the environment, hands it to use, runs the
// tests and cleans up. The result is for [os.Exit].
func Main(m interface{ Run() int }, use func(*Env)) int {
	e, err := NewEnv(os.Stderr, provision.TestPrograms()...)
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

// bestSnapshotter returns overlayfs if the kernel can mount one in the temporary
// directory, which it can't on top of another overlay, and native otherwise.
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
