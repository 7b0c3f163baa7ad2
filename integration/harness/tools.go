package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
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
	say := progressTo(progress)
	unlock, err := lockFile(filepath.Join(root, stateDir, "tools.lock"), func() {
		say("another process prepares the tools, waiting for it")
	})
	if err != nil {
		return nil, err
	}
	defer unlock()

	bin := filepath.Join(root, stateDir, "bin")
	t := &Tools{
		Root:               root,
		Buildkitd:          filepath.Join(bin, "buildkitd"),
		Buildctl:           filepath.Join(bin, "buildctl"),
		Buildx:             filepath.Join(bin, "buildx"),
		DockerfileFrontend: filepath.Join(bin, "dockerfile-frontend"),
	}
	if t.BuildKitVersion, err = moduleVersion(root, buildkitModule); err != nil {
		return nil, err
	}
	if t.BuildxVersion, err = moduleVersion(root, buildxModule); err != nil {
		return nil, err
	}
	if err := t.installFromDistribution(say); err != nil {
		return nil, err
	}
	if err := t.build(bin, say); err != nil {
		return nil, err
	}
	return t, nil
}

// build compiles the pinned programs unless those in bin already are of the
// same inputs.
func (t *Tools) build(bin string, say func(string, ...any)) error {
	key, err := t.buildKey()
	if err != nil {
		return err
	}
	keyFile := filepath.Join(bin, ".tools-key")
	have, err := os.ReadFile(keyFile)
	if err == nil && string(have) == key && t.present() {
		return nil
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	// Versions are stamped at link time only (version/version.go of both
	// projects); without it the programs call themselves v0.0.0+unknown.
	stampBuildKit := "-X " + buildkitModule + "/version.Version=" + t.BuildKitVersion
	stampBuildx := "-X " + buildxModule + "/version.Version=" + t.BuildxVersion
	for _, p := range []struct{ out, pkg, ldflags string }{
		{t.Buildkitd, buildkitModule + "/cmd/buildkitd", stampBuildKit},
		{t.Buildctl, buildkitModule + "/cmd/buildctl", stampBuildKit},
		{t.DockerfileFrontend, buildkitModule + "/frontend/dockerfile/cmd/dockerfile-frontend", stampBuildKit},
		{t.Buildx, buildxModule + "/cmd/buildx", stampBuildx},
	} {
		say("building %s (up to two minutes with a cold Go cache)", filepath.Base(p.out))
		start := time.Now()
		if err := goBuild(filepath.Join(t.Root, "tools"), p.out, p.pkg, p.ldflags); err != nil {
			return err
		}
		say("built %s in %.1fs", filepath.Base(p.out), time.Since(start).Seconds())
	}
	return os.WriteFile(keyFile, []byte(key), 0o644)
}

func (t *Tools) present() bool {
	for _, p := range []string{t.Buildkitd, t.Buildctl, t.Buildx, t.DockerfileFrontend} {
		if _, err := os.Stat(p); err != nil {
			return false
		}
	}
	return true
}

func (t *Tools) buildKey() (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(t.Root, "tools", name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	goVersion, err := goEnv(t.Root, "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s/%s", goVersion, runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// goBuild compiles pkg, as seen from the module in dir, into the static binary
// out. The file appears under its name only when it is whole, because other
// processes may be running the old one.
func goBuild(dir, out, pkg, ldflags string) error {
	tmp := out + ".new"
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w "+ldflags, "-o", tmp, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, output)
	}
	return os.Rename(tmp, out)
}

func moduleVersion(root, module string) (string, error) {
	return goOutput(filepath.Join(root, "tools"), "list", "-m", "-f", "{{.Version}}", module)
}

func goEnv(dir, name string) (string, error) {
	return goOutput(dir, "env", name)
}

func goOutput(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
