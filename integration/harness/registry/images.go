package registry

import (
	"fmt"
	"maps"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// FrontendImage describes a frontend to be packed on scratch.
type FrontendImage struct {
	// Binaries maps platforms such as "linux/amd64" to paths of static binaries.
	// With more than one platform, or with Index, the result is an OCI index.
	Binaries map[string]string
	// Entrypoint is the binary's path in the image.
	Entrypoint string
	Labels     map[string]string
	Index      bool
}

// PushFrontend packs a frontend and pushes it to a full reference in this registry.
func (r *Registry) PushFrontend(ref string, f FrontendImage) error {
	layers, err := f.Pack()
	if err != nil {
		return err
	}
	return r.PushPacked(ref, f, layers)
}

// Pack makes the layer of each platform, for [Registry.PushPacked].
func (f FrontendImage) Pack() (map[string]v1.Layer, error) {
	layers := map[string]v1.Layer{}
	for platform, binary := range f.Binaries {
		data, err := os.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		layers[platform], err = PackLayer([]File{{Path: f.Entrypoint, Mode: 0o755, Data: data}})
		if err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// PushPacked pushes a frontend whose layers are packed. Several frontends that differ in
// labels only can share them.
func (r *Registry) PushPacked(ref string, f FrontendImage, layers map[string]v1.Layer) error {
	images := map[string]v1.Image{}
	for platform, layer := range layers {
		image, err := NewImage(platform, v1.Config{
			Entrypoint: []string{f.Entrypoint}, Labels: f.Labels, WorkingDir: "/",
		}, layer)
		if err != nil {
			return err
		}
		if len(layers) == 1 && !f.Index {
			return r.PushImage(ref, image)
		}
		images[platform] = image
	}
	return r.PushPlatforms(ref, images)
}

// PushPlatforms pushes an OCI index of one image for each platform, such as
// "linux/arm/v7".
func (r *Registry) PushPlatforms(ref string, images map[string]v1.Image) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range slices.Sorted(maps.Keys(images)) {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: images[platform], Descriptor: v1.Descriptor{Platform: p},
		})
	}
	return r.PushIndex(ref, index)
}

// AppendFile makes the image at dst from the one at src and a layer with one more file,
// and returns dst's digest. Both are full references in this registry. An index stays an
// index: every platform gets the layer. Attestations are dropped, because they describe
// the images without it.
func (r *Registry) AppendFile(
	src, dst, file string, data []byte, mode os.FileMode,
) (string, error) {
	layer, err := PackLayer([]File{{Path: file, Mode: mode, Data: data}})
	if err != nil {
		return "", err
	}
	desc, err := r.get(src)
	if err != nil {
		return "", fmt.Errorf("append %s to %s: %w", file, src, err)
	}
	if desc.MediaType.IsIndex() {
		err = r.appendToIndex(desc, dst, layer)
	} else {
		err = r.appendToImage(desc, dst, layer)
	}
	if err != nil {
		return "", fmt.Errorf("append %s to %s: %w", file, src, err)
	}
	return r.Digest(dst)
}

func (r *Registry) appendToImage(desc *remote.Descriptor, dst string, layer v1.Layer) error {
	image, err := desc.Image()
	if err != nil {
		return err
	}
	if image, err = appendLayer(image, layer); err != nil {
		return err
	}
	return r.PushImage(dst, image)
}

func (r *Registry) appendToIndex(desc *remote.Descriptor, dst string, layer v1.Layer) error {
	index, err := desc.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	images := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		if m.Platform == nil || m.Platform.OS == "unknown" {
			continue
		}
		image, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		if images[m.Platform.String()], err = appendLayer(image, layer); err != nil {
			return err
		}
	}
	return r.PushPlatforms(dst, images)
}

// appendLayer keeps the image's own media types. A layer of the other kind would make a
// manifest that is neither Docker's nor OCI's.
func appendLayer(image v1.Image, layer v1.Layer) (v1.Image, error) {
	mt, err := image.MediaType()
	if err != nil {
		return nil, err
	}
	layerType := types.OCILayer
	if mt == types.DockerManifestSchema2 {
		layerType = types.DockerLayer
	}
	return mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: layerType, History: v1.History{CreatedBy: "appended by the tests"},
	})
}

// NewImage makes an OCI image of layers for a platform such as "linux/arm/v7".
func NewImage(platform string, config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		if image, err = appendLayer(image, layer); err != nil {
			return nil, err
		}
	}
	return image, nil
}
