package attached

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const (
	// maxEntries bounds the entries of an archive.
	maxEntries = 100_000
	// maxPadding bounds the zero bytes after the end of an archive.
	maxPadding = 1 << 20
)

// files are the files of a layout.
type files interface {
	// read returns a file, whose path has slashes. It fails for one that is larger than limit. The
	// error is fs.ErrNotExist if there is none.
	read(file string, limit int64) ([]byte, error)
	Close() error
}

// openFiles opens a folder or a tar archive.
func openFiles(name string) (files, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		return folder{root}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &archive{f, map[string]*io.SectionReader{}}
	if err := a.list(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return a, nil
}

// folder is a folder. No symbolic link leads to another one.
type folder struct{ *os.Root }

func (f folder) read(file string, limit int64) ([]byte, error) {
	info, err := f.Stat(filepath.FromSlash(file))
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it isn't a file")
	}
	if err != nil {
		return nil, err
	}
	opened, err := f.Open(filepath.FromSlash(file))
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return readAll(opened, limit)
}

// archive is a tar archive.
type archive struct {
	*os.File
	content map[string]*io.SectionReader // by path, in lower case; nil for a folder
}

func (a *archive) read(file string, limit int64) ([]byte, error) {
	content := a.content[file]
	if content == nil {
		return nil, fmt.Errorf("it isn't in the archive: %w", fs.ErrNotExist)
	}
	return readAll(io.NewSectionReader(content, 0, content.Size()), limit)
}

// list lists the archive. It refuses all that programs may read in different ways.
func (a *archive) list() error {
	if err := a.uncompressed(); err != nil {
		return err
	}
	t := tar.NewReader(a) // which seeks over what isn't read
	for range maxEntries {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return a.ends()
		}
		if err == nil {
			err = a.add(h)
		}
		if err != nil {
			return fmt.Errorf("the archive can't be read: %w", err)
		}
	}
	return fmt.Errorf("the archive has more than %d entries", maxEntries)
}

// uncompressed refuses a file that begins as a compressed one does. A file can be both a tar
// archive and a compressed one with other content.
func (a *archive) uncompressed() error {
	begin := make([]byte, 4)
	n, err := a.ReadAt(begin, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	compressed := strings.HasPrefix(string(begin), "BZh") // bzip2; all others have odd bytes there
	for _, b := range begin[:n] {
		compressed = compressed || b != 0 && (b < ' ' || b > '~')
	}
	if compressed {
		return errors.New("the archive is compressed, or isn't one")
	}
	return nil
}

// add adds an entry, at whose content the file is.
func (a *archive) add(h *tar.Header) error {
	clean := path.Clean(h.Name)
	name := strings.ToLower(clean) // some file systems don't tell them apart
	content, twice := a.content[name]
	switch {
	case !fs.ValidPath(clean):
		return fmt.Errorf("%.100q leads out of it", h.Name)
	case h.Typeflag == tar.TypeDir && content == nil:
		a.content[name] = nil
		return nil
	case twice:
		return fmt.Errorf("the archive has it twice: %.100q", h.Name)
	case h.Typeflag != tar.TypeReg:
		return fmt.Errorf("%.100q is neither a file nor a folder", h.Name)
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return fmt.Errorf("%.100q is sparse", h.Name)
		}
	}
	at, err := a.Seek(0, io.SeekCurrent)
	a.content[name] = io.NewSectionReader(a, at, h.Size)
	return err
}

// ends refuses an archive after whose end there is anything but zero bytes: some programs read on.
func (a *archive) ends() error {
	rest, err := readAll(a, maxPadding)
	if err != nil {
		return fmt.Errorf("after the end of the archive: %w", err)
	}
	if strings.Trim(string(rest), "\x00") != "" {
		return errors.New("the archive goes on after its end")
	}
	return nil
}

// readAll returns what there is to read. It fails for more than limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge(limit)
	}
	return data, err
}

func errTooLarge(limit int64) error { return fmt.Errorf("it has more than %d bytes", limit) }
