package provision

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
)

// downloads is how many modules are downloaded at a time. The go command takes GOMAXPROCS
// for it, which is too few on a machine of two cores, because downloads mostly wait.
const downloads = 16

// Build describes a program to compile.
type Build struct {
	// Out is the absolute path of the program.
	Out string
	// Package is the import path of its main package.
	Package string
	// Test compiles the tests of Package instead, which then needn't be a main package. It
	// must be the same in all builds of one go command.
	Test bool
	// LDFlags are added to the flags of the linker.
	LDFlags string
	// GCFlags are flags of the compiler, in the form that `go build -gcflags` takes.
	GCFlags string
	// Tags are build tags, separated by commas. CGO lets the program use C libraries, which
	// are linked statically too. Both must be the same in all builds of one go command.
	Tags string
	CGO  bool
}

// stamp returns the linker flag that tells a program of BuildKit or buildx its version
// (version/version.go of both). Without it they call themselves v0.0.0+unknown.
func stamp(module, version string) string {
	return "-X " + module + "/version.Version=" + version
}

func (b Build) keyFile() string {
	return filepath.Join(filepath.Dir(b.Out), "."+filepath.Base(b.Out)+"-key")
}

// buildStale compiles those programs with the module in dir that aren't there, or that
// were made from other inputs.
func (t *Tools) buildStale(dir string, builds ...Build) error {
	stale, err := staleBuilds(dir, builds)
	if err != nil {
		return err
	}
	if err := t.downloadFor(dir, stale); err != nil {
		return err
	}
	return t.build(dir, stale)
}

// program is the name that the go command gives the result.
func (b Build) program() string {
	if b.Test {
		return path.Base(b.Package) + ".test"
	}
	return path.Base(b.Package)
}

func staleBuilds(dir string, builds []Build) ([]Build, error) {
	var stale []Build
	for _, b := range builds {
		key, err := buildKey(dir, b)
		if err != nil {
			return nil, err
		}
		_, missing := os.Stat(b.Out)
		if have, err := os.ReadFile(b.keyFile()); err != nil || string(have) != key || missing != nil {
			stale = append(stale, b)
		}
	}
	return stale, nil
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
	fmt.Fprintf(h, "%q %t\n", []string{b.Package, b.LDFlags, b.GCFlags, b.Tags}, b.CGO)
	if b.Test {
		fmt.Fprintln(h, "test")
	}
	goVersion, err := GoEnv(dir, "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s %s/%s", goVersion, runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// build compiles static programs with the module in dir, all by one go command, which
// compiles what they share once and links one while it compiles another.
func (t *Tools) build(dir string, builds []Build) error {
	if len(builds) == 0 {
		return nil
	}
	var names []string
	for _, b := range builds {
		names = append(names, filepath.Base(b.Out))
		if err := os.MkdirAll(filepath.Dir(b.Out), 0o755); err != nil {
			return err
		}
	}
	var compiled atomic.Int64
	what := "building " + strings.Join(names, ", ")
	err := t.progress.Count(what, "packages compiled", &compiled, func() error {
		return goBuild(dir, &compiled, builds...)
	})
	if err != nil {
		return err
	}
	for _, b := range builds {
		key, err := buildKey(dir, b)
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.keyFile(), []byte(key), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// downloadFor gets the modules that builds compile.
func (t *Tools) downloadFor(dir string, builds []Build) error {
	if len(builds) == 0 {
		return nil
	}
	var packages []string
	for _, b := range builds {
		packages = append(packages, b.Package)
	}
	return t.download(dir, builds[0].Test, packages...)
}

// download gets the modules of the packages, or of their tests, and of everything that they
// import.
func (t *Tools) download(dir string, tests bool, packages ...string) error {
	list := []string{"list", "-deps", fmt.Sprintf("-test=%t", tests), "-f", "{{.ImportPath}}"}
	cmd := goCommand(dir, append(list, packages...)...)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0", fmt.Sprintf("GOMAXPROCS=%d", downloads))
	var fetched atomic.Int64
	what := "downloading modules for " + path.Base(packages[0])
	if len(packages) > 1 {
		what += fmt.Sprintf(" and %d more", len(packages)-1)
	}
	return t.progress.Count(what, "downloaded", &fetched, func() error {
		return run(cmd, func(line string) bool {
			// cmd/go/internal/modfetch prints this for each module.
			isDownload := strings.HasPrefix(line, "go: downloading ")
			if isDownload {
				fetched.Add(1)
			}
			return isDownload
		})
	})
}

// buildProduct compiles the product's program to out, which appears when it is complete.
func buildProduct(root, out string) error {
	// Another process may build it too.
	dir, err := os.MkdirTemp(filepath.Dir(out), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, filepath.Base(out))
	cmd := exec.Command(filepath.Join(root, "tools", "build"), "image", tmp)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "VERSION="+ProductVersion)
	if err := run(cmd, func(string) bool { return false }); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

// GoBuild compiles a static program with the module in dir.
func GoBuild(dir string, b Build) error { return goBuild(dir, &atomic.Int64{}, b) }

// goBuild compiles programs and counts the compiled packages. A program appears at its
// path only when it is complete, because another process may be running the old one.
func goBuild(dir string, compiled *atomic.Int64, builds ...Build) error {
	tmp, err := os.MkdirTemp(filepath.Dir(builds[0].Out), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	verb := []string{"build", "-v"}
	if builds[0].Test {
		verb = []string{"test", "-c"}
	}
	args := append(verb,
		"-trimpath", "-buildvcs=false", "-o", tmp+"/",
		// The linker drops debug information, and not to make it saves a quarter of the work.
		"-ldflags", "-s -w", "-gcflags", "all=-dwarf=false",
	)
	cgo, link := "CGO_ENABLED=0", "-s -w "
	if builds[0].CGO {
		cgo, link = "CGO_ENABLED=1", link+"-linkmode external -extldflags -static "
	}
	if builds[0].Tags != "" {
		args = append(args, "-tags", builds[0].Tags)
	}
	var packages []string
	for _, b := range builds {
		// The last pattern that matches a package counts (`go help build`).
		args = append(args, "-ldflags", b.Package+"="+link+b.LDFlags)
		if b.GCFlags != "" {
			args = append(args, "-gcflags", b.GCFlags)
		}
		packages = append(packages, b.Package)
	}
	cmd := goCommand(dir, append(args, packages...)...)
	cmd.Env = append(cmd.Env, cgo)
	err = run(cmd, func(line string) bool {
		isPackage := !strings.ContainsAny(line, " :#")
		if isPackage {
			compiled.Add(1)
		}
		return isPackage
	})
	if err != nil {
		return err
	}
	for _, b := range builds {
		if err := os.Rename(filepath.Join(tmp, b.program()), b.Out); err != nil {
			return err
		}
	}
	return nil
}

// goCommand is the go command in the module in dir.
func goCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}

// run runs cmd and hands each line of its standard error to seen. An error holds the lines
// for which seen returns false.
func run(cmd *exec.Cmd, seen func(line string) bool) error {
	reader, writer := io.Pipe()
	cmd.Stderr = writer
	var other bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			if !seen(lines.Text()) {
				fmt.Fprintln(&other, lines.Text())
			}
		}
		_, _ = io.Copy(&other, reader) // a line that is too long for the scanner
	}()
	err := cmd.Run()
	writer.Close()
	<-done
	if err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), cmd.Dir, err, other.String())
	}
	return nil
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
	cmd := goCommand(dir, args...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err := run(cmd, func(string) bool { return false })
	return strings.TrimSpace(stdout.String()), err
}
