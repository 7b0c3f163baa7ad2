package harness

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const (
	// BuildkitdVariable names the environment variable that chooses the buildkitd
	// of a whole run: an older version such as "v0.20", of which tools/compat has
	// a module; "rootless", the current version as an unprivileged user; "current" or
	// nothing for the current version.
	BuildkitdVariable = "PF_BUILDKITD"

	currentName  = "current"
	rootlessName = "rootless"
	// compatDir holds one module for each older version, because a module can
	// require one version of another only.
	compatDir    = "tools/compat"
	compatPrefix = "buildkit-"
)

// buildkitd is the program of a daemon.
type buildkitd struct {
	path    string
	version string // such as "v0.34.2"
	// rootless is what it takes to run as an unprivileged user; nil for root.
	rootless *rootless
}

// prepareBuildkitd returns the buildkitd that BuildkitdVariable names and builds
// what is missing for it. It fails when there is none of that name.
func (t *Tools) prepareBuildkitd(name string, progress io.Writer) (buildkitd, error) {
	say := progressTo(progress)
	var b buildkitd
	err := t.alone(say, func() (err error) {
		b, err = t.chooseBuildkitd(name, say)
		return err
	})
	return b, err
}

func (t *Tools) chooseBuildkitd(name string, say func(string, ...any)) (buildkitd, error) {
	switch name {
	case "", currentName:
		return t.currentBuildkitd(), nil
	case rootlessName:
		r, err := t.prepareRootless(say)
		return buildkitd{path: t.Buildkitd, version: t.BuildKitVersion, rootless: r}, err
	}
	older := t.olderBuildkitds()
	i := slices.Index(older, name)
	if i < 0 {
		return buildkitd{}, fmt.Errorf("%s=%s: there is no such buildkitd here, choose one of %s, %s, %s",
			BuildkitdVariable, name, strings.Join(older, ", "), currentName, rootlessName)
	}
	dir := filepath.Join(t.Root, compatDir, compatPrefix+older[i])
	version, err := moduleVersion(dir, buildkitModule)
	if err != nil {
		return buildkitd{}, err
	}
	b := buildkitd{path: filepath.Join(t.Root, stateDir, "bin", filepath.Base(dir)), version: version}
	return b, t.buildAll(dir, []program{{
		out: b.path, pkg: buildkitModule + "/cmd/buildkitd", ldflags: stamp(buildkitModule, version),
	}}, say)
}

func (t *Tools) currentBuildkitd() buildkitd {
	return buildkitd{path: t.Buildkitd, version: t.BuildKitVersion}
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

// Skipper is a T that can end without a verdict, as every testing.TB can.
type Skipper interface {
	T
	Skipf(format string, args ...any)
}

// Needs skips the test on a buildkitd older than version, such as "v0.20.0", and
// says why: what the daemon lacks, not what the product can't do there. What the
// product refuses on an older daemon is a test of its own.
func (e *Env) Needs(t Skipper, version, why string) {
	t.Helper()
	if e.Older(version) {
		t.Skipf("BuildKit %s is needed, this is %s: %s", version, e.buildkitd.version, why)
	}
}

// NeedsRoot skips the test on a rootless buildkitd and says why.
func (e *Env) NeedsRoot(t Skipper, why string) {
	t.Helper()
	if e.buildkitd.rootless != nil {
		t.Skipf("a buildkitd with root is needed, this is rootless: %s", why)
	}
}

// NeedsCurrent skips the test unless it runs on the current buildkitd, and says why:
// the test is about something in which daemons don't differ, and takes long.
func (e *Env) NeedsCurrent(t Skipper, why string) {
	t.Helper()
	if e.buildkitd != e.Tools.currentBuildkitd() {
		t.Skipf("tested on the current buildkitd only: %s", why)
	}
}

// Older tells whether the daemons are of a version before the given one.
func (e *Env) Older(version string) bool {
	return semver.MustParse(e.buildkitd.version).LessThan(semver.MustParse(version))
}

// BuildKitVersion is the version of the daemons, such as "v0.34.2".
func (e *Env) BuildKitVersion() string { return e.buildkitd.version }
