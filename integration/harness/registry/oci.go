package registry

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const inTotoMediaType = "application/vnd.in-toto+json"

// T is the part of a [testing.TB] that the readers of images need.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	TempDir() string
}

// OCIImage is one image of an OCI layout.
type OCIImage struct {
	// Platform is taken from the index entry or, without one, from the config.
	Platform string
	// Digest is the manifest's, ConfigDigest the config's.
	Digest, ConfigDigest string
	// Layers are the digests of the layers, in order.
	Layers []string
	Config *v1.ConfigFile
	// Attestation says that the image holds in-toto statements and no filesystem.
	Attestation bool

	image v1.Image
}

// ReadOCI reads the images of an OCI layout in the order of its indexes. The file is a
// directory, or a tar as `--output type=oci` writes it. The test fails if it isn't an OCI
// layout.
func ReadOCI(t T, file string) []OCIImage {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !info.IsDir() {
		dir := t.TempDir()
		if err := untar(file, dir); err != nil {
			t.Fatalf("unpack %s: %v", file, err)
		}
		file = dir
	}
	index, err := layout.ImageIndexFromPath(file)
	if err != nil {
		t.Fatalf("read OCI layout: %v", err)
	}
	images, err := imagesOf(index)
	if err != nil {
		t.Fatalf("read OCI layout %s: %v", file, err)
	}
	return images
}

// ReadImage reads the image or index at a full reference in the registry, as [ReadOCI]
// does.
func (r *Registry) ReadImage(t T, ref string) []OCIImage {
	t.Helper()
	images, err := r.readImage(ref)
	if err != nil {
		t.Fatalf("read %s: %v", ref, err)
	}
	return images
}

func (r *Registry) readImage(ref string) ([]OCIImage, error) {
	desc, err := r.get(ref)
	if err != nil {
		return nil, err
	}
	if desc.MediaType.IsIndex() {
		index, err := desc.ImageIndex()
		if err != nil {
			return nil, err
		}
		return imagesOf(index)
	}
	image, err := desc.Image()
	if err != nil {
		return nil, err
	}
	read, err := readImage(image, desc.Descriptor)
	return []OCIImage{read}, err
}

// imagesOf lists the images of an index and of the indexes in it.
func imagesOf(index v1.ImageIndex) ([]OCIImage, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var images []OCIImage
	for _, m := range manifest.Manifests {
		if m.MediaType.IsIndex() {
			nested, err := index.ImageIndex(m.Digest)
			if err != nil {
				return nil, err
			}
			more, err := imagesOf(nested)
			if err != nil {
				return nil, err
			}
			images = append(images, more...)
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return nil, err
		}
		read, err := readImage(image, m)
		if err != nil {
			return nil, err
		}
		images = append(images, read)
	}
	return images, nil
}

func readImage(image v1.Image, desc v1.Descriptor) (OCIImage, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return OCIImage{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return OCIImage{}, err
	}
	read := OCIImage{
		Digest: desc.Digest.String(), ConfigDigest: manifest.Config.Digest.String(),
		Config: config, image: image,
		Attestation: desc.Annotations["vnd.docker.reference.type"] == "attestation-manifest",
	}
	if desc.Platform != nil {
		read.Platform = desc.Platform.String()
	} else if p := config.Platform(); p != nil {
		read.Platform = p.String()
	}
	for _, l := range manifest.Layers {
		read.Layers = append(read.Layers, l.Digest.String())
	}
	return read, nil
}

// File returns the content of a file of the image. Its path may begin with a slash. The
// test fails if there is no such file.
func (i OCIImage) File(t T, name string) string {
	t.Helper()
	content, err := i.file(strings.TrimPrefix(path.Clean("/"+name), "/"))
	if err != nil {
		t.Fatalf("read %s of image %s: %v", name, i.Digest, err)
	}
	return content
}

func (i OCIImage) file(name string) (string, error) {
	rc := mutate.Extract(i.image)
	defer rc.Close()
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", os.ErrNotExist
		}
		if err != nil {
			return "", err
		}
		if strings.TrimPrefix(path.Clean("/"+h.Name), "/") == name {
			data, err := io.ReadAll(tr)
			return string(data), err
		}
	}
}

// Statement is an in-toto statement of an attestation.
type Statement struct {
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Statements returns the in-toto statements of an attestation, in its order.
func (i OCIImage) Statements(t T) []Statement {
	t.Helper()
	layers, err := i.image.Layers()
	if err != nil {
		t.Fatalf("%v", err)
	}
	var statements []Statement
	for _, l := range layers {
		if mt, err := l.MediaType(); err != nil || mt != inTotoMediaType {
			t.Fatalf("image %s has a layer that isn't an in-toto statement: %s %v", i.Digest, mt, err)
		}
		rc, err := l.Compressed() // the bytes as stored; they are not compressed
		if err != nil {
			t.Fatalf("%v", err)
		}
		var s Statement
		err = errors.Join(json.NewDecoder(rc).Decode(&s), rc.Close())
		if err != nil {
			t.Fatalf("statement of image %s: %v", i.Digest, err)
		}
		statements = append(statements, s)
	}
	return statements
}

// untar unpacks the files of a tar into dir and not beyond it.
func untar(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(h.Name, data, 0o644); err != nil {
			return err
		}
	}
}
