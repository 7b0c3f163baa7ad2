package provision

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// BuildkitdVariable is the environment variable that chooses the buildkitd of a whole
// run: an older version that has a module in tools/compat, such as "v0.20"; "rootless",
// the current version as an unprivileged user; "current" or nothing for the current one.
const BuildkitdVariable = "PF_BUILDKITD"

const (
	currentName  = "current"
	rootlessName = "rootless"
	// compatDir holds one module for each older version, because a module can require
	// only one version of another module.
	compatDir    = "tools/compat"
	compatPrefix = "buildkit-"

	rootlesskitModule = "github.com/rootless-containers/rootlesskit/v3"
)

// Daemon is a buildkitd program.
type Daemon struct {
	// Path is the absolute path of buildkitd.
	Path string
	// Version is its version, such as "v0.34.2".
	Version string
	// Rootlesskit is the absolute path of the program that starts a rootless buildkitd.
	// It is empty for a buildkitd with root.
	Rootlesskit string
}

// ChooseBuildkitd returns the buildkitd that name chooses, see [BuildkitdVariable], and
// builds its missing programs. It fails for an unknown name.
func (t *Tools) ChooseBuildkitd(name string) (Daemon, error) {
	var d Daemon
	err := t.alone(func() (err error) {
		d, err = t.chooseBuildkitd(name)
		return err
	})
	return d, err
}

func (t *Tools) chooseBuildkitd(name string) (Daemon, error) {
	switch name {
	case "", currentName:
		return t.CurrentBuildkitd(), nil
	case rootlessName:
		return t.prepareRootless()
	}
	older := t.olderBuildkitds()
	if !slices.Contains(older, name) {
		return Daemon{}, fmt.Errorf("%s=%s: there is no such buildkitd here, choose one of %s, %s, %s",
			BuildkitdVariable, name, strings.Join(older, ", "), currentName, rootlessName)
	}
	dir := filepath.Join(t.Root, compatDir, compatPrefix+name)
	version, err := moduleVersion(dir, buildkitModule)
	if err != nil {
		return Daemon{}, err
	}
	d := Daemon{Path: t.State("bin", filepath.Base(dir)), Version: version}
	return d, t.buildStale(dir, Build{
		Out: d.Path, Package: buildkitModule + "/cmd/buildkitd", LDFlags: stamp(buildkitModule, version),
	})
}

// CurrentBuildkitd returns the buildkitd of the version that tools/go.mod pins.
func (t *Tools) CurrentBuildkitd() Daemon {
	return Daemon{Path: t.Buildkitd, Version: t.BuildKitVersion}
}

// olderBuildkitds lists the older versions, such as "v0.20", oldest first.
func (t *Tools) olderBuildkitds() []string {
	dirs, _ := filepath.Glob(filepath.Join(t.Root, compatDir, compatPrefix+"*"))
	var names []string
	for _, dir := range dirs {
		names = append(names, strings.TrimPrefix(filepath.Base(dir), compatPrefix))
	}
	return names
}

// prepareRootless builds rootlesskit. It also looks for the distribution's setuid
// programs that give a user more ids than its own, and for nft.
func (t *Tools) prepareRootless() (Daemon, error) {
	if _, err := t.findOrInstall("newuidmap", "newuidmap", "uidmap", exec.LookPath); err != nil {
		return Daemon{}, err
	}
	if _, err := t.findOrInstall("nft", "nft", "nftables", exec.LookPath); err != nil {
		return Daemon{}, err
	}
	for _, program := range []string{"unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return Daemon{}, fmt.Errorf("util-linux starts a rootless buildkitd: %w", err)
		}
	}
	d := t.CurrentBuildkitd()
	d.Rootlesskit = t.State("bin", "rootlesskit")
	return d, t.buildStale(filepath.Join(t.Root, compatDir, rootlessName), Build{
		Out: d.Rootlesskit, Package: rootlesskitModule + "/cmd/rootlesskit",
	})
}
