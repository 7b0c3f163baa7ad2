package harness

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const (
	socketName = "buildkitd.sock"
	logName    = "buildkitd.log"
	configName = "buildkitd.toml"

	// startTimeout bounds the start of a daemon, which takes 110 to 290 ms on a machine that
	// isn't busy.
	startTimeout = 30 * time.Second
	// stopTimeout bounds a graceful stop. After it the daemon is killed.
	stopTimeout = time.Minute
	// logTail is how much of a daemon's log a failed test shows, in bytes.
	logTail = 8 << 10
)

// Daemon is a running buildkitd.
type Daemon struct {
	// Addr is the address that BUILDKIT_HOST would have.
	Addr string
	// LogFile is the daemon's debug log. It is empty for a daemon that ran already.
	LogFile string

	tools *provision.Tools
	// dir holds socket, log, state and the clients' configuration.
	dir string
	// root is the daemon's own root, usually in dir. It is empty for a daemon that ran
	// already.
	root string
	cmd  *exec.Cmd
	// again starts the daemon again.
	again func() error
	// exited is closed when the process has ended.
	exited chan struct{}

	mu      sync.Mutex
	clients []*Process

	stopOnce sync.Once
	stopErr  error

	builderOnce sync.Once
	builderErr  error
}

// StartDaemon starts a buildkitd of the given configuration with a root of its own and
// returns when it accepts connections. When the test ends, or the process gets SIGINT or
// SIGTERM, the daemon is stopped and its root removed. A failed test shows the end of its
// log. The test fails if the daemon does not start, or leaves a process, a container or a
// mount behind.
//
// The environment's registry is the daemon's mirror of docker.io, unless the configuration
// names mirrors.
//
// With [BuildkitHostVariable] nothing is started: the daemon that runs already is used, and
// a test that needs another configuration is skipped.
func (e *Env) StartDaemon(t T, cfg DaemonConfig) *Daemon {
	t.Helper()
	if e.existing != nil {
		return e.useExisting(t, cfg)
	}
	if cfg.Mirrors == nil {
		cfg.Mirrors = map[string][]string{"docker.io": {e.Registry.Host()}}
	}
	d, err := e.startDaemon(e.buildkitd, cfg)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of buildkitd %s:\n%s", d.Addr, d.LogTail())
		}
		if err := e.reaper.run(d.dir); err != nil {
			t.Errorf("stop buildkitd: %v", err)
		}
	})
	return d
}

func (e *Env) startDaemon(program provision.Daemon, cfg DaemonConfig) (*Daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errNeedsRoot
	}
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		Addr:    "unix://" + filepath.Join(dir, socketName),
		LogFile: filepath.Join(dir, logName),
		tools:   e.Tools,
		dir:     dir,
		root:    cfg.Root,
		exited:  make(chan struct{}),
	}
	if d.root == "" {
		d.root = filepath.Join(dir, "root")
	}
	e.reaper.add(dir, d.stop)
	d.again = func() error { return d.start(program, cfg, e.snapshotter()) }
	if err := d.again(); err != nil {
		err = fmt.Errorf("start buildkitd: %w\n%s", err, d.LogTail())
		return nil, errors.Join(err, e.reaper.run(dir))
	}
	return d, nil
}

func (d *Daemon) start(program provision.Daemon, cfg DaemonConfig, snapshotter string) error {
	config := filepath.Join(d.dir, configName)
	text := cfg.toml(d.root, d.dir, snapshotter, d.tools.RunC, program.Rootlesskit != "")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "tmp"), 0o700); err != nil {
		return err
	}
	log, err := os.Create(d.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	if d.cmd, err = daemonCommand(program, cfg, d.dir); err != nil {
		return err
	}
	d.cmd.Env = append(d.cmd.Env, cfg.Env...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	// Pdeathsig ends the daemon if this process is killed without a chance to.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // how it ended is in its log
	}()
	ready := Poll(startTimeout, func() bool { return d.hasExited() || d.accepts() })
	if d.hasExited() {
		return errors.New("it ended at once")
	}
	if !ready {
		return fmt.Errorf("no connection to %s within %s", d.Addr, startTimeout)
	}
	return nil
}

func (d *Daemon) accepts() bool { return Accepts(filepath.Join(d.dir, socketName)) }

// Accepts says whether a program listens on the socket at a path.
func Accepts(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (d *Daemon) hasExited() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// Stop ends the daemon before the test ends, and fails the test if the daemon left
// something behind. Stopping twice isn't an error. A daemon that ran already goes on: only
// the clients that the test started on it end.
func (d *Daemon) Stop(t T) {
	t.Helper()
	if err := d.stop(); err != nil {
		t.Errorf("stop buildkitd: %v", err)
	}
}

func (d *Daemon) stop() error {
	d.stopOnce.Do(func() {
		var errs []error
		// A daemon with a build under way would wait for its end.
		d.mu.Lock()
		clients := d.clients
		d.mu.Unlock()
		for _, p := range clients {
			p.kill()
		}
		if d.root == "" { // it ran already
			d.stopErr = os.RemoveAll(d.dir)
			return
		}
		if d.cmd != nil && d.cmd.Process != nil {
			// Those of clients that have just gone would stay: a daemon that ends doesn't wait for them.
			Poll(settleTimeout, func() bool { return len(d.Containers()) == 0 })
			_ = syscall.Kill(d.cmd.Process.Pid, syscall.SIGTERM)
			if !Poll(stopTimeout, d.hasExited) {
				errs = append(errs, fmt.Errorf("it did not end within %s of SIGTERM", stopTimeout))
			}
			_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
			<-d.exited
		}
		if left := leftovers(d.root); len(left) > 0 {
			errs = append(errs, fmt.Errorf("it left behind:\n  %s", strings.Join(left, "\n  ")))
		}
		errs = append(errs, removeRoot(d.dir))
		if !strings.HasPrefix(d.root, d.dir+"/") {
			errs = append(errs, unmountUnder(d.root))
		}
		d.stopErr = errors.Join(errs...)
	})
	return d.stopErr
}

// Crash kills the daemon. Its containers and mounts end with it, as on a machine that loses its
// power; for that, no container of a rootless daemon may run. [Daemon.Begin] starts it again.
func (d *Daemon) Crash(t T) {
	t.Helper()
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill buildkitd: %v", err)
	}
	<-d.exited
	for _, id := range containerIDs(d.root) {
		out, err := exec.Command(d.tools.RunC, "delete", "--force", id).CombinedOutput()
		if err != nil {
			t.Fatalf("delete the container %s: %v: %s", id, err, out)
		}
	}
	if err := unmountUnder(d.root); err != nil {
		t.Fatalf("%v", err)
	}
}

// Begin starts the daemon again after [Daemon.Crash], with the same root and address.
func (d *Daemon) Begin(t T) {
	t.Helper()
	d.exited = make(chan struct{})
	if err := d.again(); err != nil {
		t.Fatalf("start buildkitd again: %v", err)
	}
}

// Log returns the whole debug log so far. It is empty for a daemon that ran already.
func (d *Daemon) Log() string {
	data, err := os.ReadFile(d.LogFile)
	if err != nil {
		return ""
	}
	return string(data)
}

// LogTail returns the last few kilobytes of the log, from a line's beginning.
func (d *Daemon) LogTail() string { return tailOf(d.LogFile) }

// tailOf returns the last few kilobytes of a log, empty for one that isn't there.
func tailOf(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if len(data) > logTail {
		data = data[len(data)-logTail:]
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			data = data[i+1:]
		}
	}
	return string(data)
}
