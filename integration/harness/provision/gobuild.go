package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Build describes a program to compile.
type Build struct {
	// Out is the absolute path of the program.
	Out string
	// Package is the import path of its main package.
	Package string
	// LDFlags and GCFlags are added to the flags of the linker and the compiler.
	LDFlags, GCFlags string
}

// stamp returns the linker flag that tells a program of BuildKit or buildx its version
// (version/version.go of both). Without it they call themselves v0.0.0+unknown.
func stamp(module, version string) string {
	return "-X " + module + "/version.Version=" + version
}

// buildOnce compiles a program with the module in dir, unless the program is there
// already and was made from the same inputs.
func (t *Tools) buildOnce(dir string, b Build) error {
	key, err := buildKey(dir, b)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.Out), 0o755); err != nil {
		return err
	}
	keyFile := filepath.Join(filepath.Dir(b.Out), "."+filepath.Base(b.Out)+"-key")
	have, err := os.ReadFile(keyFile)
	if err == nil && string(have) == key {
		if _, err := os.Stat(b.Out); err == nil {
			return nil
		}
	}
	err = t.progress.Step("building "+filepath.Base(b.Out), func() error { return GoBuild(dir, b) })
	if err != nil {
		return err
	}
	return os.WriteFile(keyFile, []byte(key), 0o644)
}

// buildKey identifies everything that the result of a build depends on.
func buildKey(dir string, b Build) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	fmt.Fprintf(h, "%q\n", []string{b.Package, b.LDFlags, b.GCFlags})
	goVersion, err := GoEnv(dir, "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s/%s", goVersion, runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// GoBuild compiles a static program with the module in dir. The file appears at b.Out
// only when it is complete, because another process may be running the old one.
func GoBuild(dir string, b Build) error {
	tmp := b.Out + ".new"
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w " + b.LDFlags}
	if b.GCFlags != "" {
		args = append(args, "-gcflags", b.GCFlags)
	}
	cmd := exec.Command("go", append(args, "-o", tmp, b.Package)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", b.Package, dir, err, output)
	}
	return os.Rename(tmp, b.Out)
}

// moduleVersion returns the version of module with which the module in dir builds.
func moduleVersion(dir, module string) (string, error) {
	return goOutput(dir, "list", "-m", "-f", "{{.Version}}", module)
}

// GoEnv returns a value of `go env` in dir, such as that of GOVERSION.
func GoEnv(dir, name string) (string, error) {
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
		err = fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, stderr.String())
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}
