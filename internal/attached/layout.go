package attached

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// maxManifest bounds an index, a manifest and a configuration, in bytes.
	maxManifest = 4 << 20
	// maxManifests bounds the entries of an index.
	maxManifests = 1000
	// layoutVersion is the only version of image layouts (image-spec, image-layout.md).
	layoutVersion = "1.0.0"
)

// FindInLayout is [Registries.Find] for an OCI image layout: a folder, or a tar archive of one that
// isn't compressed, as docker buildx build -o type=oci writes it. If the layout has several images,
// digest chooses one of them; "" is for the only one. All that isn't certainly a bundle counts as
// an image, for a program that loads the layout may take it for one.
//
// It reads the manifests of the layout, and verifies their digests. It reads no layer. It fails for
// a layout that also has another image in Docker's format.
func FindInLayout(name, digest string) (f Found, err error) {
	files, err := openFiles(name)
	if err != nil {
		return f, err
	}
	defer files.Close()
	l := layout{files: files, unread: map[vsa.Digest]error{}}
	if err = l.open(); err == nil {
		f.Image, err = l.choose(digest)
	}
	if err == nil {
		err = l.checkDocker(f.Image)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	l.findBundles(&f)
	return f, nil
}

// layout is an OCI image layout.
type layout struct {
	files     files
	images    []vsa.Digest
	unread    map[vsa.Digest]error // why an image has no manifest
	referrers []*v1.Manifest
}

// decode decodes a file.
func (l *layout) decode(file string, into any) error {
	data, err := l.files.read(file, maxManifest)
	if err == nil {
		err = vsa.Unmarshal(data, into)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return err
}

// open reads the index of the layout, and the manifests in it.
func (l *layout) open() error {
	var version struct {
		Layout string `json:"imageLayoutVersion"`
	}
	// Without it, containerd reads the manifest.json of Docker in place of the index.
	if err := l.decode("oci-layout", &version); err != nil {
		return err
	}
	if version.Layout != layoutVersion {
		return fmt.Errorf("oci-layout: the version is %.100q, not %q", version.Layout, layoutVersion)
	}
	var index v1.IndexManifest
	if err := l.decode("index.json", &index); err != nil {
		return err
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
			l.unread[digest] = err
		}
		if m := ofBundle(data); m != nil {
			l.referrers = append(l.referrers, m)
		} else {
			l.images = append(l.images, digest)
		}
	}
	return nil
}

func blobPath(digest vsa.Digest) string { return "blobs/sha256/" + digest.SHA256 }

// blob returns a blob, whose digest it verifies.
func (l *layout) blob(digest vsa.Digest, limit int64) ([]byte, error) {
	data, err := l.files.read(blobPath(digest), limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", blobPath(digest), err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest.SHA256 {
		return nil, fmt.Errorf("the blob %s has another digest", digest)
	}
	return data, nil
}

// choose returns the image with the digest, or the only one.
func (l *layout) choose(digest string) (image vsa.Digest, err error) {
	switch {
	case digest != "":
		if image, err = vsa.ParseDigest(digest); err != nil {
			return image, err
		}
		if !slices.Contains(l.images, image) {
			return image, fmt.Errorf("it has no image %s", image)
		}
	case len(l.images) == 1:
		image = l.images[0]
	default:
		return image, fmt.Errorf("it has %d manifests that aren't of summaries, so say which one is "+
			"the image by its digest", len(l.images))
	}
	return image, l.unread[image]
}

// checkDocker fails if a program that reads Docker's format finds another image than that one. Such
// a program trusts the name of the configuration, and compares the layers with what it says.
func (l *layout) checkDocker(image vsa.Digest) error {
	_, err := l.files.read("repositories", maxManifest)
	if !errors.Is(err, fs.ErrNotExist) {
		return errors.New("it has the file repositories, from which Docker may load another image")
	}
	var entries []struct{ Config string }
	err = l.decode("manifest.json", &entries)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) == 1 {
		for _, config := range l.configs(image) {
			if entries[0].Config == blobPath(config) {
				_, err := l.blob(config, maxManifest)
				return err
			}
		}
	}
	return fmt.Errorf("from its manifest.json, Docker loads another image than %s", image)
}

// configs returns the configurations of an image, or of those in an index.
func (l *layout) configs(image vsa.Digest) (configs []vsa.Digest) {
	for _, digest := range append([]vsa.Digest{image}, l.children(image)...) {
		var m v1.Manifest
		data, err := l.blob(digest, maxManifest)
		if err != nil || json.Unmarshal(data, &m) != nil {
			continue // it isn't of a platform that the layout has
		}
		if config, err := vsa.ParseDigest(m.Config.Digest.String()); err == nil {
			configs = append(configs, config)
		}
	}
	return configs
}

// children returns the manifests of an index; none for that of an image.
func (l *layout) children(image vsa.Digest) (children []vsa.Digest) {
	var index v1.IndexManifest
	data, err := l.blob(image, maxManifest)
	if err != nil || json.Unmarshal(data, &index) != nil || len(index.Manifests) > maxManifests {
		return nil
	}
	for _, d := range index.Manifests {
		if child, err := vsa.ParseDigest(d.Digest.String()); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// findBundles reads the bundles beside the image.
func (l *layout) findBundles(f *Found) {
	all := slices.DeleteFunc(l.referrers, func(m *v1.Manifest) bool {
		return m.Subject.Digest.String() != f.Image.String()
	})
	for _, m := range last(f, all) {
		bundle, err := l.bundle(m.Layers[0].Digest.String())
		if err != nil {
			f.skip("a summary", err)
			continue
		}
		f.Bundles = append(f.Bundles, bundle)
	}
}

func (l *layout) bundle(digest string) ([]byte, error) {
	parsed, err := vsa.ParseDigest(digest)
	if err != nil {
		return nil, err
	}
	return l.blob(parsed, vsa.MaxEnvelope)
}
