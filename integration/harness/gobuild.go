package harness

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
	"time"
)

// program is a binary to be built: where it goes, what of, and the flags of the
// linker and the compiler.
type program struct{ out, pkg, ldflags, gcflags string }

// stamp is the linker flag that tells a program of BuildKit or buildx its version
// (version/version.go of both); without it they call themselves v0.0.0+unknown.
func stamp(module, version string) string { return "-X " + module + "/version.Version=" + version }

// buildAll compiles programs with the module in dir, unless those that are there
// already are of the same inputs.
func (t *Tools) buildAll(dir string, programs []program, say func(string, ...any)) error {
	key, err := buildKey(dir, programs)
	if err != nil {
		return err
	}
	bin := filepath.Join(t.Root, stateDir, "bin")
	keyFile := filepath.Join(bin, "."+filepath.Base(dir)+"-key")
	have, err := os.ReadFile(keyFile)
	if err == nil && string(have) == key && allPresent(programs) {
		return nil
	}
	for _, p := range programs {
		if err := os.MkdirAll(filepath.Dir(p.out), 0o755); err != nil {
			return err
		}
		say("building %s (up to two minutes with a cold Go cache)", filepath.Base(p.out))
		start := time.Now()
		if err := goBuild(dir, p); err != nil {
			return err
		}
		say("built %s in %.1fs", filepath.Base(p.out), time.Since(start).Seconds())
	}
	return os.WriteFile(keyFile, []byte(key), 0o644)
}

func allPresent(programs []program) bool {
	for _, p := range programs {
		if _, err := os.Stat(p.out); err != nil {
			return false
		}
	}
	return true
}

// buildKey is of all that a build's result depends on.
func buildKey(dir string, programs []program) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	for _, p := range programs {
		fmt.Fprintf(h, "%q\n", []string{filepath.Base(p.out), p.pkg, p.ldflags, p.gcflags})
	}
	goVersion, err := goEnv(dir, "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s/%s", goVersion, runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// goBuild compiles a program, as seen from the module in dir, into a static binary.
// The file appears under its name only when it is whole, because other processes may
// be running the old one.
func goBuild(dir string, p program) error {
	tmp := p.out + ".new"
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w " + p.ldflags}
	if p.gcflags != "" {
		args = append(args, "-gcflags", p.gcflags)
	}
	cmd := exec.Command("go", append(args, "-o", tmp, p.pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", p.pkg, dir, err, output)
	}
	return os.Rename(tmp, p.out)
}

// moduleVersion is the version of module that the module in dir builds with.
func moduleVersion(dir, module string) (string, error) {
	return goOutput(dir, "list", "-m", "-f", "{{.Version}}", module)
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
