package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// stateDir is the directory for everything that outlives a test process, relative to the
// repository's root. Git ignores it.
const stateDir = ".build"

// RepoRoot returns the absolute path of the repository's root: the nearest directory at
// or above the working directory that holds tools/go.mod. It fails when there is none.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "tools", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no tools/go.mod in %s or above: run from inside the repository", start)
		}
	}
}

// State returns the path of something that outlives the process: the elements, joined,
// in the repository's directory .build.
func (t *Tools) State(elem ...string) string {
	return filepath.Join(append([]string{t.Root, stateDir}, elem...)...)
}

// Lock takes an exclusive lock on the file path, which it creates if needed. While
// another process holds the lock, Lock waits; it calls waiting once before it does. The
// lock ends with unlock or with the process.
func Lock(path string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		for {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
