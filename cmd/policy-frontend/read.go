package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/policy-frontend/policy-frontend/policy"
)

// document is a policy that was read from a file.
type document struct {
	*policy.Policy
	dir  string // of the file
	name string // of the file in dir, which the policy uses in positions
}

// path returns the path of one of the policy's files, relative to the working directory.
func (d document) path(name string) string { return filepath.Join(d.dir, name) }

// loadPolicy reads a policy and the files that it includes. None of these can be outside of
// the policy's directory.
func loadPolicy(file string) (document, error) {
	d := document{dir: filepath.Dir(file), name: filepath.Base(file)}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return document{}, err
	}
	defer root.Close()
	d.Policy, err = policy.Load(root.FS(), d.name)
	var broken *policy.ParseError
	var path *os.PathError
	switch {
	case errors.As(err, &broken):
		return document{}, inDir(broken, d.dir)
	case errors.As(err, &path):
		return document{}, &os.PathError{Op: "open", Path: file, Err: path.Err}
	}
	return d, err
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
	return policy.ParseOverlay(file, data)
}

// readFile reads a file up to one byte more than the limit, which parsers refuse.
func readFile(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
