package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of a layer: a symbolic link if Link is set, a directory if Mode has
// [os.ModeDir], otherwise a file.
type File struct {
	// Path is its path in the image.
	Path string
	Mode os.FileMode
	// Link is the target of a symbolic link.
	Link string
	// Data is the content of a file. If Source is set, it names a file of this machine
	// that has the content.
	Data   []byte
	Source string
}

// PackLayer makes a layer in memory.
func PackLayer(files []File) (v1.Layer, error) {
	var buf bytes.Buffer
	if err := writeLayer(&buf, files); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// PackLayerFile makes a large layer, whose data it writes to the file name. The file must
// stay as long as the layer is used.
func PackLayerFile(name string, files []File) (v1.Layer, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writeLayer(f, files), f.Close()); err != nil {
		return nil, err
	}
	return PackedLayer(name)
}

// PackedLayer returns the layer that an earlier [PackLayerFile] wrote to the file name.
func PackedLayer(name string) (v1.Layer, error) {
	return tarball.LayerFromFile(name, tarball.WithMediaType(types.OCILayer))
}

// layerWriter writes a gzipped tar that depends on nothing but its entries: times are
// zero and root owns everything. The same entries have the same digest.
type layerWriter struct {
	gz   *gzip.Writer
	tar  *tar.Writer
	dirs map[string]bool
}

func writeLayer(to io.Writer, files []File) error {
	gz, _ := gzip.NewWriterLevel(to, gzip.BestSpeed) // fails for an unknown level only
	w := layerWriter{gz: gz, tar: tar.NewWriter(gz), dirs: map[string]bool{".": true, "": true}}
	for _, f := range files {
		if err := w.add(f); err != nil {
			return err
		}
	}
	if err := w.tar.Close(); err != nil {
		return err
	}
	return w.gz.Close()
}

func (w layerWriter) add(f File) error {
	if f.Source != "" {
		var err error
		if f.Data, err = os.ReadFile(f.Source); err != nil {
			return err
		}
	}
	h, err := w.header(f)
	if err != nil {
		return err
	}
	h.Size = int64(len(f.Data))
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.tar.Write(f.Data)
	return err
}

// header makes an entry's header, after entries for the directories above it.
func (w layerWriter) header(f File) (*tar.Header, error) {
	p := strings.Trim(path.Clean("/"+f.Path), "/")
	if dir := path.Dir(p); !w.dirs[dir] {
		if err := w.add(File{Path: dir, Mode: os.ModeDir | 0o755}); err != nil {
			return nil, err
		}
	}
	h := &tar.Header{
		Name: p, Mode: int64(f.Mode.Perm()), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg,
	}
	if f.Mode&os.ModeSetuid != 0 {
		h.Mode |= 0o4000
	}
	if f.Mode&os.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Mode.IsDir():
		w.dirs[p] = true
		h.Typeflag, h.Name = tar.TypeDir, p+"/"
	}
	return h, nil
}
