package attached

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// maxManifest bounds an index and a manifest in a layout, in bytes.
	maxManifest = 4 << 20
	// maxManifests bounds the entries of a layout's index.
	maxManifests = 1000
	// maxEntries bounds the entries of an archive.
	maxEntries = 100_000
)

// FindInLayout is [Registries.Find] for an OCI image layout: a folder, or a tar archive of one that
// isn't compressed, as docker buildx build -o type=oci writes it. If the layout has several images,
// digest chooses one of them; "" is for the only one.
//
// It reads the manifests of the layout, and verifies their digests. It reads no layer.
func FindInLayout(name, digest string) (image vsa.Digest, bundles [][]byte, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return image, nil, err
	}
	read := fromArchive
	if info.IsDir() {
		read = fromFolder
	}
	l := layout{read: func(file string, limit int64) ([]byte, error) {
		data, err := read(name, file, limit)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, file, err)
		}
		return data, nil
	}}
	if err := l.open(); err != nil {
		return image, nil, err
	}
	if image, err = l.choose(digest); err != nil {
		return image, nil, fmt.Errorf("%s: %w", name, err)
	}
	bundles, err = l.bundles(image)
	return image, bundles, err
}

// layout is an OCI image layout.
type layout struct {
	// read returns a file, whose path has slashes. It fails for one that is larger than limit.
	read      func(file string, limit int64) ([]byte, error)
	images    []vsa.Digest
	referrers []v1.Manifest
}

// open reads the index of the layout, and the manifests in it.
func (l *layout) open() error {
	data, err := l.read("index.json", maxManifest)
	if err != nil {
		return err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) > maxManifests {
		return fmt.Errorf("index.json has more than %d manifests", maxManifests)
	}
	seen := map[vsa.Digest]bool{}
	for _, d := range index.Manifests {
		digest, err := vsa.ParseDigest(d.Digest.String())
		if err != nil {
			return fmt.Errorf("index.json: %w", err)
		}
		if seen[digest] { // it has several names
			continue
		}
		seen[digest] = true
		data, err := l.blob(digest, maxManifest)
		if err != nil {
			return err
		}
		var m v1.Manifest
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("the manifest %s: %w", digest, err)
		}
		if m.Subject == nil {
			l.images = append(l.images, digest)
		} else {
			l.referrers = append(l.referrers, m)
		}
	}
	return nil
}

// blob returns a blob, whose digest it verifies.
func (l *layout) blob(digest vsa.Digest, limit int64) ([]byte, error) {
	data, err := l.read("blobs/sha256/"+digest.SHA256, limit)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest.SHA256 {
		return nil, fmt.Errorf("the blob %s has another digest", digest)
	}
	return data, nil
}

// choose returns the image with the digest, or the only one.
func (l *layout) choose(digest string) (image vsa.Digest, err error) {
	if digest != "" {
		if image, err = vsa.ParseDigest(digest); err == nil && !slices.Contains(l.images, image) {
			err = fmt.Errorf("it has no image %s", image)
		}
		return image, err
	}
	if len(l.images) != 1 {
		return image, fmt.Errorf("it has %d images, so say which one by its digest", len(l.images))
	}
	return l.images[0], nil
}

// bundles returns the bundles beside an image.
func (l *layout) bundles(image vsa.Digest) (bundles [][]byte, err error) {
	for _, m := range l.referrers {
		if m.Subject.Digest.String() != image.String() || !hasBundle(&m) {
			continue
		}
		if len(bundles) == maxReferrers {
			return bundles, errTooMany
		}
		digest, err := vsa.ParseDigest(m.Layers[0].Digest.String())
		if err != nil {
			return bundles, err
		}
		bundle, err := l.blob(digest, vsa.MaxEnvelope)
		if err != nil {
			return bundles, err
		}
		bundles = append(bundles, bundle)
	}
	return bundles, nil
}

// fromFolder returns a file of a folder. No symbolic link leads to another folder.
func fromFolder(folder, file string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(file))
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it isn't a file")
	}
	if err != nil {
		return nil, err
	}
	f, err := root.Open(filepath.FromSlash(file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

// fromArchive returns a file of a tar archive. It refuses an archive that has it twice: programs
// take one or the other.
func fromArchive(archive, file string, limit int64) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []byte
	t := tar.NewReader(f) // which seeks over what isn't read
	for range maxEntries {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && found == nil:
			return nil, errors.New("it isn't in the archive")
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, fmt.Errorf("the archive can't be read: %w", err)
		case strings.TrimPrefix(path.Clean("/"+h.Name), "/") != file:
			continue
		case h.Typeflag != tar.TypeReg:
			return nil, errors.New("it isn't a file")
		case found != nil:
			return nil, errors.New("the archive has it twice")
		}
		if found, err = readAll(t, limit); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the archive has more than %d entries", maxEntries)
}

// readAll returns what there is to read. It fails for more than limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	if data == nil {
		data = []byte{}
	}
	return data, err
}
