package harness

import (
	"fmt"
	"os"
	"path/filepath"
)

// builderName is the buildx builder that stands for the daemon.
const builderName = "remote"

// Start runs a command against the daemon and returns at once. BUILDKIT_HOST
// and BUILDX_BUILDER name the daemon; nothing of the caller's Docker, buildx
// or BuildKit settings reaches the command. It is killed when the test ends.
func (d *Daemon) Start(t T, c Command) *Process {
	t.Helper()
	if err := d.createBuilder(); err != nil {
		t.Fatalf("%v", err)
	}
	p, err := c.start(append(d.clientEnv(), c.Env...))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(p.kill)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients = append(d.clients, p)
	return p
}

// Run runs a command against the daemon, see Start, and waits for it.
func (d *Daemon) Run(t T, c Command) Output {
	t.Helper()
	return d.Start(t, c).Wait(t)
}

// Buildctl runs buildctl with args.
func (d *Daemon) Buildctl(t T, args ...string) Output {
	t.Helper()
	return d.Run(t, d.BuildctlCommand(args...))
}

// BuildctlCommand is a buildctl command line for Run or Start.
func (d *Daemon) BuildctlCommand(args ...string) Command {
	return Command{Path: d.tools.Buildctl, Args: args}
}

// Buildx runs buildx with args in the folder dir.
func (d *Daemon) Buildx(t T, dir string, args ...string) Output {
	t.Helper()
	return d.Run(t, d.BuildxCommand(dir, args...))
}

// BuildxCommand is a buildx command line for Run or Start.
func (d *Daemon) BuildxCommand(dir string, args ...string) Command {
	return Command{Path: d.tools.Buildx, Args: args, Dir: dir}
}

// clientEnv is the whole environment of the clients, so that runs repeat.
func (d *Daemon) clientEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(d.dir, "home"),
		"TMPDIR=" + os.TempDir(),
		"TERM=xterm",
		"BUILDKIT_HOST=" + d.Addr,
		"BUILDX_BUILDER=" + builderName,
		"BUILDX_CONFIG=" + filepath.Join(d.dir, "buildx"),
		"DOCKER_CONFIG=" + filepath.Join(d.dir, "docker"),
	}
}

// createBuilder makes buildx know the daemon, once.
func (d *Daemon) createBuilder() error {
	d.builderOnce.Do(func() {
		for _, name := range []string{"home", "buildx", "docker"} {
			if d.builderErr = os.MkdirAll(filepath.Join(d.dir, name), 0o700); d.builderErr != nil {
				return
			}
		}
		c := Command{
			Path: d.tools.Buildx,
			Args: []string{"create", "--name", builderName, "--driver", "remote", d.Addr},
		}
		p, err := c.start(d.clientEnv())
		if err != nil {
			d.builderErr = err
			return
		}
		o, err := p.result()
		if err == nil && o.ExitCode != 0 {
			err = fmt.Errorf("%s", o)
		}
		if err != nil {
			d.builderErr = fmt.Errorf("create the buildx builder: %w", err)
		}
	})
	return d.builderErr
}
