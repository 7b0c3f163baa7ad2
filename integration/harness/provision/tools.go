package provision

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
	product  func() (string, error)
}

// Program is the name of a program that [Prepare] can build.
type Program string

// The programs. Product is the product's own one, as the image has it; tools/go.mod pins
// the others.
const (
	Buildkitd          Program = "buildkitd"
	Buildctl           Program = "buildctl"
	Buildx             Program = "buildx"
	DockerfileFrontend Program = "dockerfile-frontend"
	Product            Program = "policy-frontend"
)

// TestPrograms returns the programs that the end-to-end tests run. The product's isn't one
// of them, because they run its image.
func TestPrograms() []Program {
	return []Program{Buildkitd, Buildctl, Buildx, DockerfileFrontend}
}

const (
	buildkitModule = "github.com/moby/buildkit"
	buildxModule   = "github.com/docker/buildx"

	productPackage = "./cmd/policy-frontend"
	// ProductVersion is the version of [Product].
	ProductVersion = "v0.0.0-test"
)

// Prepare builds programs into .build/bin. It also looks for git and busybox, and for
// runc if buildkitd is one of the programs. It installs busybox and runc with apt-get if it
// runs as root. A program of tools/go.mod is
// built again only when tools/go.mod, tools/go.sum, the Go version or the platform
// changed. Processes that call Prepare at the same time wait for one another. Prepare
// prints a line for each long step to progress. An error says what to install.
func Prepare(progress *Progress, programs ...Program) (*Tools, error) {
	root, err := RepoRoot()
	if err != nil {
		return nil, err
	}
	t := &Tools{Root: root, progress: progress}
	t.product = sync.OnceValues(t.buildProduct)
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
	if err := os.MkdirAll(t.State("bin"), 0o755); err != nil {
		return err
	}
	installed := make(chan error, 1)
	go func() { installed <- t.installFromDistribution(slices.Contains(programs, Buildkitd)) }()
	return errors.Join(t.buildPrograms(programs), <-installed)
}

// buildPrograms builds the product first: while its packages are compiled, the modules of
// the other programs are downloaded, and those programs find most of its packages in Go's
// cache.
func (t *Tools) buildPrograms(programs []Program) error {
	builds, err := t.pinned(programs)
	if err != nil {
		return err
	}
	tools := filepath.Join(t.Root, "tools")
	stale, err := staleBuilds(tools, builds)
	if err != nil {
		return err
	}
	downloaded := make(chan error, 1)
	if slices.Contains(programs, Product) {
		if err := t.download(t.Root, false, productPackage); err != nil {
			return err
		}
		go func() { downloaded <- t.downloadFor(tools, stale) }()
		if _, err := t.BuildProduct(); err != nil {
			return errors.Join(err, <-downloaded)
		}
	} else {
		downloaded <- t.downloadFor(tools, stale)
	}
	if err := <-downloaded; err != nil {
		return err
	}
	return t.build(tools, stale)
}

// pinned describes those of the programs that tools/go.mod pins.
func (t *Tools) pinned(programs []Program) ([]Build, error) {
	tools := filepath.Join(t.Root, "tools")
	var err error
	if t.BuildKitVersion, err = moduleVersion(tools, buildkitModule); err != nil {
		return nil, err
	}
	if t.BuildxVersion, err = moduleVersion(tools, buildxModule); err != nil {
		return nil, err
	}
	ofBuildKit := stamp(buildkitModule, t.BuildKitVersion)
	dockerfile := buildkitModule + "/frontend/dockerfile/cmd/dockerfile-frontend"
	ofBuildx := stamp(buildxModule, t.BuildxVersion)
	builds := []Build{
		{Out: t.Buildkitd, Package: buildkitModule + "/cmd/buildkitd", LDFlags: ofBuildKit},
		{Out: t.Buildctl, Package: buildkitModule + "/cmd/buildctl", LDFlags: ofBuildKit},
		{Out: t.DockerfileFrontend, Package: dockerfile, LDFlags: ofBuildKit},
		{Out: t.Buildx, Package: buildxModule + "/cmd/buildx", LDFlags: ofBuildx},
	}
	return slices.DeleteFunc(builds, func(b Build) bool {
		return !slices.Contains(programs, Program(filepath.Base(b.Out)))
	}), nil
}

// BuildProduct compiles the product's program with this machine's Go, exactly as the
// Dockerfile does, and returns its absolute path. It does so once in a process.
func (t *Tools) BuildProduct() (string, error) { return t.product() }

func (t *Tools) buildProduct() (string, error) {
	out := t.State("bin", string(Product))
	return out, t.progress.Step("building "+string(Product), func() error {
		return buildProduct(t.Root, out)
	})
}
