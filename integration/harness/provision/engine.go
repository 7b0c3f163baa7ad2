package provision

import (
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	engineName   = "engine"
	mobyModule   = "github.com/moby/moby/v2"
	containerd   = "github.com/containerd/containerd/v2"
	dockerModule = "github.com/docker/cli"

	composeName   = "compose"
	composeModule = "github.com/docker/compose/v5"
)

// Engine is the set of programs of a Docker Engine, and of the containers that its tests
// run. All fields but Version are absolute paths.
type Engine struct {
	// Bin is the directory in which dockerd finds containerd, its shim and runc.
	Bin string
	// Docker is the command line. Proxy is docker-proxy, which publishes ports. Init is
	// tini, which Docker calls docker-init.
	Docker, Dockerd, Proxy, Init string
	// Compose is the plugin of docker for `docker compose`.
	Compose string
	// RunC is linked statically, with libseccomp. Debian 12's runc 1.1 can't run the
	// containers of this engine, because it doesn't know time namespaces.
	RunC string
	// Registry is the program of Docker Hub's image "registry".
	Registry string
	// Version is the version of the engine's module, such as "v2.0.0".
	Version string
}

// Engine builds the engine and docker's command line from tools/compat/engine, and docker's plugin
// Compose from tools/compat/compose. It installs
// tini and libseccomp's headers with apt-get if they are missing.
func (t *Tools) Engine() (Engine, error) {
	var e Engine
	err := t.alone(func() (err error) {
		e, err = t.prepareEngine()
		return err
	})
	return e, err
}

func (t *Tools) prepareEngine() (Engine, error) {
	dir := filepath.Join(t.Root, compatDir, engineName)
	bin := t.State("bin", engineName)
	e := Engine{
		Bin: bin, Docker: filepath.Join(bin, "docker"), Dockerd: filepath.Join(bin, "dockerd"),
		Proxy: filepath.Join(bin, "docker-proxy"), RunC: filepath.Join(bin, "runc"),
		Registry: filepath.Join(bin, "registry"), Compose: filepath.Join(bin, "docker-compose"),
	}
	var err error
	if e.Version, err = moduleVersion(dir, mobyModule); err != nil {
		return e, err
	}
	cli, err := moduleVersion(dir, dockerModule)
	if err != nil {
		return e, err
	}
	cli = strings.TrimSuffix(cli, "+incompatible")
	if e.Init, err = t.findOrInstall("tini", "tini-static", "tini", exec.LookPath); err != nil {
		return e, err
	}
	if err := t.installLibseccomp(); err != nil {
		return e, err
	}
	shim := "containerd-shim-runc-v2"
	err = t.buildStale(dir,
		Build{
			Out: e.Dockerd, Package: mobyModule + "/cmd/dockerd",
			LDFlags: "-X " + mobyModule + "/dockerversion.Version=" + e.Version,
		},
		Build{Out: e.Proxy, Package: mobyModule + "/cmd/docker-proxy"},
		Build{Out: filepath.Join(bin, "containerd"), Package: containerd + "/cmd/containerd"},
		Build{Out: filepath.Join(bin, shim), Package: containerd + "/cmd/" + shim},
		Build{
			Out: e.Docker, Package: dockerModule + "/cmd/docker",
			LDFlags: "-X " + dockerModule + "/cli/version.Version=" + cli,
			// It has no go.mod, so Go would read it in the language of a very old version.
			GCFlags: dockerModule + "/...=-lang=go1.26",
		},
		distribution(e.Registry),
	)
	if err != nil {
		return e, err
	}
	if err := t.buildCompose(e.Compose); err != nil {
		return e, err
	}
	return e, t.buildStale(dir, Build{
		Out: e.RunC, Package: "github.com/opencontainers/runc",
		Tags: "seccomp,netgo,osusergo", CGO: true,
	})
}

// buildCompose builds Compose. Its module isn't the engine's, because they require other versions
// of the same modules.
func (t *Tools) buildCompose(out string) error {
	dir := filepath.Join(t.Root, compatDir, composeName)
	version, err := moduleVersion(dir, composeModule)
	if err != nil {
		return err
	}
	return t.buildStale(dir, Build{
		Out: out, Package: composeModule + "/cmd",
		LDFlags: "-X " + composeModule + "/internal.Version=" + version,
	})
}

// distribution describes the program of Docker Hub's image "registry".
func distribution(out string) Build {
	return Build{Out: out, Package: "github.com/distribution/distribution/v3/cmd/registry"}
}

// installLibseccomp makes sure that cgo finds libseccomp.
func (t *Tools) installLibseccomp() error {
	const tool = "pkg-config"
	if _, err := t.findOrInstall(tool, tool, tool, exec.LookPath); err != nil {
		return err
	}
	look := func(name string) (string, error) {
		return name, exec.Command(tool, "--exists", name).Run()
	}
	_, err := t.findOrInstall("libseccomp's headers", "libseccomp", "libseccomp-dev", look)
	return err
}
