package harness

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pushGolang assembles what the product's Dockerfile needs of its Go image and
// pushes it to ref: this machine's Go toolchain, a static busybox, CA
// certificates, and a module proxy in a folder with the modules that the
// product's go.sum names, so that the build reaches no network.
func (e *Env) pushGolang(ref string) error {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	base, err := busyboxFiles(e.Tools.Busybox)
	if err != nil {
		return err
	}
	if ca, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil {
		base = append(base, layerFile{path: "/etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: ca})
	}
	system, err := packLayer(base)
	if err != nil {
		return err
	}
	toolchain, err := e.toolchainLayer()
	if err != nil {
		return fmt.Errorf("pack the Go toolchain: %w", err)
	}
	modules, err := packToFile(filepath.Join(dir, "modules.tar.gz"), e.addModules)
	if err != nil {
		return fmt.Errorf("pack the product's modules: %w", err)
	}
	image, err := newImage(hostPlatform(), v1.Config{
		Env: []string{
			"PATH=/usr/local/go/bin:/bin",
			"GOPATH=/go",
			"GOTOOLCHAIN=local",
			"GOPROXY=file:///goproxy",
			// go.sum has them all; the checksum database is on the network.
			"GOSUMDB=off",
		},
		WorkingDir: "/go",
	}, system, toolchain, modules)
	if err != nil {
		return err
	}
	return e.Registry.pushImage(ref, image)
}

// toolchainLayer packs the Go toolchain, which takes some ten seconds, or returns
// it as an earlier process packed it. The caller holds the images' lock.
func (e *Env) toolchainLayer() (v1.Layer, error) {
	goVersion, err := goEnv(e.Tools.Root, "GOVERSION")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(e.Tools.Root, stateDir, "toolchains")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	kept := filepath.Join(dir, strings.ReplaceAll(goVersion, " ", "-")+".tar.gz")
	if _, err := os.Stat(kept); err != nil {
		if _, err := packToFile(kept+".new", e.addToolchain); err != nil {
			return nil, err
		}
		if err := os.Rename(kept+".new", kept); err != nil {
			return nil, err
		}
		if err := dropOldest(dir, 1); err != nil {
			return nil, err
		}
	}
	return tarball.LayerFromFile(kept, tarball.WithMediaType(types.OCILayer))
}

// packToFile makes a layer whose data is kept in a file, as it is large.
func packToFile(name string, add func(*layerWriter) error) (v1.Layer, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := newLayerWriter(f)
	if err := add(w); err != nil {
		return nil, err
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromFile(name, tarball.WithMediaType(types.OCILayer))
}

// addToolchain adds GOROOT as /usr/local/go without its own tests.
func (e *Env) addToolchain(w *layerWriter) error {
	goroot, err := goEnv(e.Tools.Root, "GOROOT")
	if err != nil {
		return err
	}
	if goroot, err = filepath.EvalSymlinks(goroot); err != nil {
		return err
	}
	skip := map[string]bool{"api": true, "doc": true, "misc": true, "test": true}
	return filepath.WalkDir(goroot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(goroot, file)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir() && (skip[rel] || entry.Name() == "testdata"):
			return filepath.SkipDir
		case !entry.Type().IsRegular() || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return addFile(w, file, path.Join("/usr/local/go", filepath.ToSlash(rel)), info.Mode()|0o444)
	})
}

// addModules adds the part of the module cache that the product's go.sum names
// as /goproxy, in the layout of a module proxy (go.dev/ref/mod#goproxy-protocol).
func (e *Env) addModules(w *layerWriter) error {
	// The first fetches what is compiled, the second every go.mod in between.
	for _, args := range [][]string{{"mod", "download"}, {"mod", "graph"}} {
		if _, err := goOutput(e.Tools.Root, args...); err != nil {
			return err
		}
	}
	cache, err := goEnv(e.Tools.Root, "GOMODCACHE")
	if err != nil {
		return err
	}
	sums, err := os.Open(filepath.Join(e.Tools.Root, "go.sum"))
	if err != nil {
		return err
	}
	defer sums.Close()
	lines := bufio.NewScanner(sums)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return fmt.Errorf("go.sum: unexpected line %q", lines.Text())
		}
		version, modOnly := strings.CutSuffix(fields[1], "/go.mod")
		kinds := []string{".zip"}
		if modOnly {
			kinds = []string{".mod", ".info"}
		}
		for _, kind := range kinds {
			name := path.Join(escapeModule(fields[0]), "@v", escapeModule(version)+kind)
			err := addFile(w, filepath.Join(cache, "cache", "download", filepath.FromSlash(name)), path.Join("/goproxy", name), 0o644)
			// go.sum also names what no build needs and so was not fetched.
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return lines.Err()
}

func addFile(w *layerWriter, from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return w.add(layerFile{path: to, mode: mode, data: data})
}

// escapeModule is the module cache's spelling of a path or version, in which
// upper-case letters are written as "!" and the lower-case letter.
func escapeModule(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
