package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// stdinName is how messages call what was read from stdin.
const stdinName = "stdin"

// document is a policy that was read from a file.
type document struct {
	*policy.Policy
	dir   string // of the file
	name  string // of the file in dir, which the policy uses in positions
	piped bool   // it comes from stdin or a pipe, and can't be read again
	text  []byte // if it is piped
}

// path returns the path of one of the policy's files, relative to the working directory.
func (d document) path(name string) string { return filepath.Join(d.dir, name) }

// loadPolicy reads a policy and the files that it includes. None of these can be outside of
// the policy's directory. A policy from stdin ("-") or from a pipe has no directory, so it can't
// include files.
func loadPolicy(file string) (document, error) {
	if isPipe(file) {
		return loadPiped(file)
	}
	d := document{dir: filepath.Dir(file), name: filepath.Base(file)}
	root, err := os.OpenRoot(d.dir)
	var path *os.PathError
	if errors.As(err, &path) {
		return document{}, &os.PathError{Op: "open", Path: file, Err: path.Err}
	}
	if err != nil {
		return document{}, err
	}
	defer root.Close()
	d.Policy, err = policy.Load(root.FS(), d.name)
	var broken *policy.ParseError
	switch {
	case errors.As(err, &broken):
		return document{}, inDir(broken, d.dir)
	case errors.As(err, &path):
		return document{}, &os.PathError{Op: "open", Path: file, Err: path.Err}
	}
	return d, err
}

// source returns the text of one of the policy's files.
func (d document) source(name string) ([]byte, error) {
	if d.piped {
		return d.text, nil
	}
	return readFile(d.path(name), policy.MaxSize)
}

// isPipe reports whether the name stands for stdin, or for something else that isn't a file on a
// disk, such as the pipe of a process substitution.
func isPipe(file string) bool {
	if file == "-" || strings.HasPrefix(filepath.Clean(file), "/dev/") {
		return true
	}
	info, err := os.Stat(file)
	return err == nil && !info.IsDir() && !info.Mode().IsRegular()
}

func loadPiped(file string) (document, error) {
	data, err := readFile(file, policy.MaxSize)
	if err != nil {
		return document{}, err
	}
	d := document{name: shownName(file), piped: true, text: data}
	d.Policy, err = policy.Parse(d.name, data)
	return d, err
}

// shownName returns the name of a file for messages.
func shownName(file string) string {
	if file == "-" {
		return stdinName
	}
	return file
}

// oneStdin returns an error of usage if more than one of the files is stdin.
func oneStdin(files ...string) error {
	n := 0
	for _, f := range files {
		if f == "-" {
			n++
		}
	}
	if n > 1 {
		return errors.New("- is stdin, which can be read only once; give the other one as a file")
	}
	return nil
}

// inDir returns the error with file names that are relative to the working directory.
func inDir(err *policy.ParseError, dir string) error {
	out := policy.ParseError{Omitted: err.Omitted}
	for _, p := range err.Problems {
		p.File = filepath.Join(dir, p.File)
		out.Problems = append(out.Problems, p)
	}
	return &out
}

// loadOverlay reads an overlay.
func loadOverlay(file string) (*policy.Policy, error) {
	data, err := readFile(file, policy.MaxOverlaySize)
	if err != nil {
		return nil, err
	}
	return policy.ParseOverlay(shownName(file), data)
}

// readFile reads a file, or stdin for "-", up to one byte more than the limit, which parsers
// refuse.
func readFile(file string, limit int64) ([]byte, error) {
	if file == "-" {
		data, err := io.ReadAll(io.LimitReader(os.Stdin, limit+1))
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", stdinName, err)
		}
		return data, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
