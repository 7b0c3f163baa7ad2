package harness

import (
	"io"
	"path/filepath"
)

// Tools are the real programs that the tests run, pinned by tools/go.mod.
type Tools struct {
	// Root is the repository's root.
	Root string
	// Absolute paths of the programs.
	Buildkitd, Buildctl, Buildx, DockerfileFrontend string
	// RunC and Busybox come from the distribution; Busybox is static.
	RunC, Busybox string
	// BuildKitVersion and BuildxVersion are the pinned versions, such as "v0.34.2".
	BuildKitVersion, BuildxVersion string
}

const (
	buildkitModule = "github.com/moby/buildkit"
	buildxModule   = "github.com/docker/buildx"
)

// PrepareTools builds the programs that tools/go.mod pins into .build/bin and
// makes sure that the distribution's programs are there, installing them with
// apt-get if it runs as root. Programs are built again only when tools/go.mod,
// tools/go.sum, the Go version or the platform changed. Processes that call it
// at the same time wait for one another. One line per long step goes to
// progress. It fails with a message that says what to install.
func PrepareTools(progress io.Writer) (*Tools, error) {
	root, err := RepoRoot()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(root, stateDir, "bin")
	t := &Tools{
		Root:               root,
		Buildkitd:          filepath.Join(bin, "buildkitd"),
		Buildctl:           filepath.Join(bin, "buildctl"),
		Buildx:             filepath.Join(bin, "buildx"),
		DockerfileFrontend: filepath.Join(bin, "dockerfile-frontend"),
	}
	say := progressTo(progress)
	return t, t.alone(say, func() error { return t.prepare(say) })
}

// alone runs f while no other process prepares programs.
func (t *Tools) alone(say func(string, ...any), f func() error) error {
	unlock, err := lockFile(filepath.Join(t.Root, stateDir, "tools.lock"), func() {
		say("another process prepares the tools, waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

func (t *Tools) prepare(say func(string, ...any)) error {
	tools := filepath.Join(t.Root, "tools")
	var err error
	if t.BuildKitVersion, err = moduleVersion(tools, buildkitModule); err != nil {
		return err
	}
	if t.BuildxVersion, err = moduleVersion(tools, buildxModule); err != nil {
		return err
	}
	if err := t.installFromDistribution(say); err != nil {
		return err
	}
	stampBuildKit := stamp(buildkitModule, t.BuildKitVersion)
	return t.buildAll(tools, []program{
		{out: t.Buildkitd, pkg: buildkitModule + "/cmd/buildkitd", ldflags: stampBuildKit},
		{out: t.Buildctl, pkg: buildkitModule + "/cmd/buildctl", ldflags: stampBuildKit},
		{out: t.DockerfileFrontend, pkg: buildkitModule + "/frontend/dockerfile/cmd/dockerfile-frontend", ldflags: stampBuildKit},
		{out: t.Buildx, pkg: buildxModule + "/cmd/buildx", ldflags: stamp(buildxModule, t.BuildxVersion)},
	}, say)
}
