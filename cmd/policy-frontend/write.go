package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// newFileMode is the mode of a file that didn't exist.
const newFileMode = 0o644

// writeFile replaces a file's content in one step, so a reader gets the old or the new content
// and never a part. It keeps the file's mode and a symbolic link to the file. It writes
// directly to files that aren't regular, such as /dev/stdout.
func writeFile(file string, data []byte) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	mode := fs.FileMode(newFileMode)
	info, err := os.Stat(file)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return os.WriteFile(file, data, mode)
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
