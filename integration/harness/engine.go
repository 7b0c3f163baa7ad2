package harness

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// engineStart bounds the start of dockerd with its containerd, which takes about two
// seconds.
const engineStart = time.Minute

// shellTimeout bounds a command line of [Engine.Shell]. The longest one bakes the product's
// image, and a new engine has no cache for that.
const shellTimeout = 30 * time.Minute

// Engine is a running Docker Engine: dockerd with a containerd of its own. It builds images
// and runs containers in a network namespace with nothing in it but the environment's
// registry, so it can't touch the machine's network. That registry is also its Docker Hub, for
// the engine itself and for containers in its network that trust the hub's certificate.
type Engine struct {
	// Version is that of the engine's module, such as "v2.0.0".
	Version string
	// LogFile is dockerd's debug log.
	LogFile string

	host   string
	tools  provision.Engine
	buildx string
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
	leave  func()
}

// StartEngine starts a Docker Engine with a root of its own, built from
// tools/compat/engine, and returns when it answers. Short names and localhost of
// the environment's registry are what they are to a Daemon. It is stopped, and its
// root removed, when the test ends or the process gets SIGINT or SIGTERM. A failed
// test shows the end of its log.
func (e *Env) StartEngine(t T) *Engine {
	t.Helper()
	g, err := e.startEngine()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of dockerd's log:\n%s", tailOf(g.LogFile))
		}
		if err := e.reaper.run(g.dir); err != nil {
			t.Errorf("stop dockerd: %v", err)
		}
	})
	return g
}

func (e *Env) startEngine() (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("dockerd needs root: run the tests as root")
	}
	tools, err := e.Tools.Engine()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return nil, err
	}
	g := &Engine{
		Version: tools.Version, LogFile: filepath.Join(dir, "dockerd.log"),
		host: "unix://" + filepath.Join(dir, "docker.sock"), tools: tools,
		buildx: e.Tools.Buildx, dir: dir,
		exited: make(chan struct{}), leave: func() {},
	}
	e.reaper.add(dir, g.stop)
	if err := g.start(e.Registry, e.hub); err != nil {
		err = fmt.Errorf("start dockerd: %w\n%s", err, tailOf(g.LogFile))
		return nil, errors.Join(err, e.reaper.run(dir))
	}
	return g, nil
}

// inOwnMounts mounts a hosts file and an empty /run in place of the machine's, and runs a
// program. The shell that runs it is in a mount namespace of its own. containerd's shims
// always keep their sockets in /run.
const inOwnMounts = `
hosts=$1; shift
mount --bind "$hosts" /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /run
exec "$@"
`

func (g *Engine) start(images *registry.Registry, hub hub) error {
	config, err := json.Marshal(map[string]any{
		"data-root": filepath.Join(g.dir, "root"), "exec-root": filepath.Join(g.dir, "exec"),
		"pidfile": filepath.Join(g.dir, "pid"), "hosts": []string{g.host}, "debug": true,
		"registry-mirrors": []string{"http://" + images.Host()},
		// These would need programs of the machine's, and nothing is there to be reached.
		"iptables": false, "ip6tables": false, "ip-forward": false,
		// It publishes ports without iptables.
		"userland-proxy": true, "userland-proxy-path": g.tools.Proxy, "init-path": g.tools.Init,
	})
	if err != nil {
		return err
	}
	file := filepath.Join(g.dir, "daemon.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	hosts := filepath.Join(g.dir, "hosts")
	if err := hub.writeHosts(hosts); err != nil {
		return err
	}
	plugins := filepath.Join(g.dir, "config", "cli-plugins")
	if err := os.MkdirAll(plugins, 0o700); err != nil {
		return err
	}
	// `docker build` is buildx's.
	for name, program := range map[string]string{
		"docker-buildx": g.buildx, "docker-compose": g.tools.Compose,
	} {
		if err := os.Symlink(program, filepath.Join(plugins, name)); err != nil {
			return err
		}
	}
	log, err := os.Create(g.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	g.cmd = exec.Command("/bin/sh", "-ec", inOwnMounts, "sh", hosts,
		g.tools.Dockerd, "--config-file", file)
	g.cmd.Env = g.env()
	g.cmd.Stdout, g.cmd.Stderr = log, log
	// What it mounts is in a namespace of its own and ends with it.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGTERM, Unshareflags: syscall.CLONE_NEWNS,
	}
	g.leave, err = inNewNetwork(func() error {
		err := errors.Join(images.ListenHere(), images.ListenTLSHere(hub.certificate))
		if err != nil {
			return err
		}
		return g.cmd.Start()
	})
	if err != nil {
		return err
	}
	go func() {
		defer close(g.exited)
		_ = g.cmd.Wait() // how it ended is in its log
	}()
	ready := Poll(engineStart, func() bool { return g.hasExited() || g.answers() })
	if g.hasExited() {
		return errors.New("it ended at once")
	}
	if !ready {
		return fmt.Errorf("no answer from %s within %s", g.host, engineStart)
	}
	return nil
}

func (g *Engine) hasExited() bool {
	select {
	case <-g.exited:
		return true
	default:
		return false
	}
}

func (g *Engine) answers() bool {
	if _, err := os.Stat(strings.TrimPrefix(g.host, "unix://")); err != nil {
		return false
	}
	c := Command{Path: g.tools.Docker, Args: []string{"version"}}
	p, err := c.start(g.clientEnv())
	if err != nil {
		return false
	}
	o, err := p.result()
	return err == nil && o.ExitCode == 0
}

func (g *Engine) stop() error {
	defer g.leave()
	var errs []error
	if g.cmd != nil && g.cmd.Process != nil {
		_ = syscall.Kill(g.cmd.Process.Pid, syscall.SIGTERM)
		if !Poll(stopTimeout, g.hasExited) {
			errs = append(errs, fmt.Errorf("it did not end within %s of SIGTERM", stopTimeout))
		}
		_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
		<-g.exited
	}
	if left := leftovers(g.dir); len(left) > 0 {
		errs = append(errs, fmt.Errorf("it left behind:\n  %s", strings.Join(left, "\n  ")))
	}
	return errors.Join(append(errs, removeRoot(g.dir))...)
}

// Docker runs docker with args in the folder dir, and with more environment as
// KEY=VALUE.
func (g *Engine) Docker(t T, dir string, env []string, args ...string) Output {
	t.Helper()
	c := Command{Path: g.tools.Docker, Args: args, Dir: dir}
	p, err := c.start(append(g.clientEnv(), env...))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(p.kill)
	return p.Wait(t)
}

// Shell runs a command line as a person would type it, in the directory dir.
func (g *Engine) Shell(t T, dir, line string) Output {
	t.Helper()
	c := Command{Path: "/bin/sh", Args: []string{"-ec", line}, Dir: dir, Timeout: shellTimeout}
	p, err := c.start(g.clientEnv())
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(p.kill)
	return p.Wait(t)
}

// clientEnv is the whole environment of docker, so that runs repeat.
func (g *Engine) clientEnv() []string {
	return append(g.env(), "TERM=xterm",
		"DOCKER_HOST="+g.host, "DOCKER_CONFIG="+filepath.Join(g.dir, "config"))
}

// env is the environment that the engine and its clients share.
func (g *Engine) env() []string {
	return []string{
		"PATH=" + g.tools.Bin + ":" + os.Getenv("PATH"), "HOME=" + g.dir, "TMPDIR=" + os.TempDir(),
	}
}
