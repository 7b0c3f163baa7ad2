package provision

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
)

// File is a file of this machine that goes into an image.
type File struct {
	// Source is its path on this machine, Path the absolute path in the image.
	Source, Path string
	Mode         fs.FileMode
}

// GoVersion returns the version of this machine's Go, such as "go1.26.8".
func (t *Tools) GoVersion() (string, error) { return GoEnv(t.Root, "GOVERSION") }

// GoToolchain lists the files of this machine's Go toolchain, without its own tests, as
// an image has them in /usr/local/go.
func (t *Tools) GoToolchain() ([]File, error) {
	goroot, err := GoEnv(t.Root, "GOROOT")
	if err != nil {
		return nil, err
	}
	if goroot, err = filepath.EvalSymlinks(goroot); err != nil {
		return nil, err
	}
	skip := map[string]bool{"api": true, "doc": true, "misc": true, "test": true}
	var files []File
	err = filepath.WalkDir(goroot, func(file string, entry fs.DirEntry, err error) error {
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
		files = append(files, File{
			Source: file, Path: path.Join("/usr/local/go", filepath.ToSlash(rel)), Mode: info.Mode() | 0o444,
		})
		return nil
	})
	return files, err
}

// GoModules lists the files of the module cache that the product's go.sum names, as an
// image has them in dir in the layout of a module proxy
// (go.dev/ref/mod#goproxy-protocol). It downloads the missing ones.
func (t *Tools) GoModules(dir string) ([]File, error) {
	// The first fetches what is compiled, the second every go.mod in between.
	for _, args := range [][]string{{"mod", "download"}, {"mod", "graph"}} {
		if _, err := goOutput(t.Root, args...); err != nil {
			return nil, err
		}
	}
	cache, err := GoEnv(t.Root, "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	sums, err := os.Open(filepath.Join(t.Root, "go.sum"))
	if err != nil {
		return nil, err
	}
	defer sums.Close()
	var files []File
	lines := bufio.NewScanner(sums)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return nil, fmt.Errorf("go.sum: unexpected line %q", lines.Text())
		}
		version, modOnly := strings.CutSuffix(fields[1], "/go.mod")
		kinds := []string{".zip"}
		if modOnly {
			kinds = []string{".mod", ".info"}
		}
		for _, kind := range kinds {
			name := path.Join(escapeModule(fields[0]), "@v", escapeModule(version)+kind)
			source := filepath.Join(cache, "cache", "download", filepath.FromSlash(name))
			// go.sum also names modules that no build needs and that weren't fetched.
			if _, err := os.Stat(source); err == nil {
				files = append(files, File{Source: source, Path: path.Join(dir, name), Mode: 0o644})
			} else if !os.IsNotExist(err) {
				return nil, err
			}
		}
	}
	return files, lines.Err()
}

// escapeModule returns the module cache's spelling of a path or version, which writes an
// upper-case letter as "!" and the lower-case letter.
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
