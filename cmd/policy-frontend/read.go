package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/policy-frontend/policy-frontend/policy"
)

// document is a policy as it was read from a file.
type document struct {
	*policy.Policy
	folder string // of the file
	name   string // of the file in its folder, as the policy calls it
}

// path returns where a file of the policy is, as it can be opened from here.
func (d document) path(name string) string { return filepath.Join(d.folder, name) }

// loadPolicy reads a policy and the files that it includes, none of which can be
// outside of its folder.
func loadPolicy(file string) (document, error) {
	d := document{folder: filepath.Dir(file), name: filepath.Base(file)}
	root, err := os.OpenRoot(d.folder)
	if err != nil {
		return document{}, err
	}
	defer root.Close()
	d.Policy, err = policy.Load(root.FS(), d.name)
	var broken *policy.ParseError
	var path *os.PathError
	switch {
	case errors.As(err, &broken):
		return document{}, inFolder(broken, d.folder)
	case errors.As(err, &path):
		return document{}, &os.PathError{Op: "open", Path: file, Err: path.Err}
	}
	return d, err
}

// inFolder returns the error with file names that can be opened from here.
func inFolder(err *policy.ParseError, folder string) error {
	out := policy.ParseError{Omitted: err.Omitted}
	for _, p := range err.Problems {
		p.File = filepath.Join(folder, p.File)
		out.Problems = append(out.Problems, p)
	}
	return &out
}

// loadOverlay reads a policy that goes on top of another.
func loadOverlay(file string) (*policy.Policy, error) {
	data, err := readFile(file, policy.MaxOverlaySize)
	if err != nil {
		return nil, err
	}
	return policy.ParseOverlay(file, data)
}

// readFile reads no more than one byte beyond the limit of a file.
func readFile(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}
