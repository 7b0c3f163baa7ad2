package provision

import (
	"path/filepath"
	"strings"
)

const (
	engineName   = "engine"
	mobyModule   = "github.com/moby/moby/v2"
	containerd   = "github.com/containerd/containerd/v2"
	dockerModule = "github.com/docker/cli"
)

// Engine is the set of programs of a Docker Engine.
type Engine struct {
	// Bin is the directory in which dockerd finds its containerd.
	Bin string
	// Docker and Dockerd are absolute paths.
	Docker, Dockerd string
	// Version is the version of the engine's module, such as "v2.0.0".
	Version string
}

// Engine builds the engine and docker's command line from tools/compat/engine.
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
	e := Engine{Bin: bin, Docker: filepath.Join(bin, "docker"), Dockerd: filepath.Join(bin, "dockerd")}
	var err error
	if e.Version, err = moduleVersion(dir, mobyModule); err != nil {
		return e, err
	}
	cli, err := moduleVersion(dir, dockerModule)
	if err != nil {
		return e, err
	}
	return e, t.buildStale(dir,
		Build{
			Out: e.Dockerd, Package: mobyModule + "/cmd/dockerd",
			LDFlags: "-X " + mobyModule + "/dockerversion.Version=" + e.Version,
		},
		Build{Out: filepath.Join(bin, "containerd"), Package: containerd + "/cmd/containerd"},
		Build{
			Out: e.Docker, Package: dockerModule + "/cmd/docker",
			LDFlags: "-X " + dockerModule + "/cli/version.Version=" +
				strings.TrimSuffix(cli, "+incompatible"),
			// It has no go.mod, so Go would read it in the language of a very old version.
			GCFlags: dockerModule + "/...=-lang=go1.26",
		},
	)
}
