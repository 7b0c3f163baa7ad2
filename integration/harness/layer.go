package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layerFile is one entry of a layer: a folder if link and data are empty and
// mode has os.ModeDir, a symbolic link if link is set, otherwise a file.
type layerFile struct {
	path string
	mode os.FileMode
	link string
	data []byte
}

// packLayer makes a layer in memory.
func packLayer(files []layerFile) (v1.Layer, error) {
	var buf bytes.Buffer
	w := newLayerWriter(&buf)
	for _, f := range files {
		if err := w.add(f); err != nil {
			return nil, err
		}
	}
	if err := w.close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// layerWriter writes a gzipped tar whose bytes depend on nothing but its
// entries: times are zero and owners root, so digests repeat.
type layerWriter struct {
	gz   *gzip.Writer
	tar  *tar.Writer
	dirs map[string]bool
}

func newLayerWriter(w io.Writer) *layerWriter {
	gz, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // fails for an unknown level only
	return &layerWriter{gz: gz, tar: tar.NewWriter(gz), dirs: map[string]bool{".": true, "": true}}
}

func (w *layerWriter) add(f layerFile) error {
	h, err := w.header(f)
	if err != nil {
		return err
	}
	h.Size = int64(len(f.data))
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.tar.Write(f.data)
	return err
}

// header makes an entry's header, after entries for the folders above it.
func (w *layerWriter) header(f layerFile) (*tar.Header, error) {
	p := strings.Trim(path.Clean("/"+f.path), "/")
	if dir := path.Dir(p); !w.dirs[dir] {
		if err := w.add(layerFile{path: dir, mode: os.ModeDir | 0o755}); err != nil {
			return nil, err
		}
	}
	h := &tar.Header{Name: p, Mode: int64(f.mode.Perm()), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
	if f.mode&os.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch {
	case f.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.link, 0o777
	case f.mode.IsDir():
		w.dirs[p] = true
		h.Typeflag, h.Name = tar.TypeDir, p+"/"
	}
	return h, nil
}

func (w *layerWriter) close() error {
	if err := w.tar.Close(); err != nil {
		return err
	}
	return w.gz.Close()
}
