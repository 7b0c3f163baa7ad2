package provision

import (
	"path/filepath"
	"slices"
)

// Tools are the programs that the tests run.
type Tools struct {
	// Root is the absolute path of the repository's root.
	Root string
	// Absolute paths of the programs that tools/go.mod pins. A path is set also when
	// [Prepare] wasn't asked for the program.
	Buildkitd, Buildctl, Buildx, DockerfileFrontend string
	// RunC and Busybox are absolute paths of programs of the distribution. Busybox is
	// linked statically.
	RunC, Busybox string
	// BuildKitVersion and BuildxVersion are the pinned versions, such as "v0.34.2".
	BuildKitVersion, BuildxVersion string

	progress *Progress
}

// Program is the name of a program that tools/go.mod pins.
type Program string

// The programs that [Prepare] can build.
const (
	Buildkitd          Program = "buildkitd"
	Buildctl           Program = "buildctl"
	Buildx             Program = "buildx"
	DockerfileFrontend Program = "dockerfile-frontend"
)

const (
	buildkitModule = "github.com/moby/buildkit"
	buildxModule   = "github.com/docker/buildx"
)

// Prepare builds programs, by default all, into .build/bin. It also looks for git, runc
// and busybox, and installs the latter two with apt-get if it runs as root. A program is
// built again only when tools/go.mod, tools/go.sum, the Go version or the platform
// changed. Processes that call Prepare at the same time wait for one another. Prepare
// prints a line for each long step to progress. An error says what to install.
func Prepare(progress *Progress, programs ...Program) (*Tools, error) {
	root, err := RepoRoot()
	if err != nil {
		return nil, err
	}
	t := &Tools{Root: root, progress: progress}
	t.Buildkitd = t.State("bin", string(Buildkitd))
	t.Buildctl = t.State("bin", string(Buildctl))
	t.Buildx = t.State("bin", string(Buildx))
	t.DockerfileFrontend = t.State("bin", string(DockerfileFrontend))
	return t, t.alone(func() error { return t.prepare(programs) })
}

// alone runs f while no other process prepares programs.
func (t *Tools) alone(f func() error) error {
	unlock, err := Lock(t.State("tools.lock"), func() {
		t.progress.Say("another process prepares the tools, waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

func (t *Tools) prepare(programs []Program) error {
	tools := filepath.Join(t.Root, "tools")
	var err error
	if t.BuildKitVersion, err = moduleVersion(tools, buildkitModule); err != nil {
		return err
	}
	if t.BuildxVersion, err = moduleVersion(tools, buildxModule); err != nil {
		return err
	}
	if err := t.installFromDistribution(); err != nil {
		return err
	}
	ofBuildKit := stamp(buildkitModule, t.BuildKitVersion)
	dockerfile := buildkitModule + "/frontend/dockerfile/cmd/dockerfile-frontend"
	for _, b := range []Build{
		{Out: t.Buildkitd, Package: buildkitModule + "/cmd/buildkitd", LDFlags: ofBuildKit},
		{Out: t.Buildctl, Package: buildkitModule + "/cmd/buildctl", LDFlags: ofBuildKit},
		{Out: t.DockerfileFrontend, Package: dockerfile, LDFlags: ofBuildKit},
		{
			Out: t.Buildx, Package: buildxModule + "/cmd/buildx",
			LDFlags: stamp(buildxModule, t.BuildxVersion),
		},
	} {
		wanted := len(programs) == 0 || slices.Contains(programs, Program(filepath.Base(b.Out)))
		if !wanted {
			continue
		}
		if err := t.buildOnce(tools, b); err != nil {
			return err
		}
	}
	return nil
}
