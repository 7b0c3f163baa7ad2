package registry

import (
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Save writes the image or index at a full reference in this registry to the directory
// dir as an OCI layout. It replaces what is there, and only with a complete layout.
func (r *Registry) Save(ref, dir string) error {
	desc, err := r.get(ref)
	if err != nil {
		return err
	}
	tmp := dir + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	path, err := layout.Write(tmp, empty.Index)
	if err != nil {
		return err
	}
	if desc.MediaType.IsIndex() {
		index, err := desc.ImageIndex()
		if err != nil {
			return err
		}
		if err := path.AppendIndex(index); err != nil {
			return err
		}
	} else {
		image, err := desc.Image()
		if err != nil {
			return err
		}
		if err := path.AppendImage(image); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// PushSaved pushes what [Registry.Save] wrote to dir to a full reference in this
// registry. The error is one of [io/fs.ErrNotExist] if there is nothing.
func (r *Registry) PushSaved(dir, ref string) error {
	saved, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := saved.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 {
		return fmt.Errorf("%s has %d manifests instead of one: run make clean", dir,
			len(manifest.Manifests))
	}
	m := manifest.Manifests[0]
	if m.MediaType.IsIndex() {
		index, err := saved.ImageIndex(m.Digest)
		if err != nil {
			return err
		}
		return r.PushIndex(ref, index)
	}
	image, err := saved.Image(m.Digest)
	if err != nil {
		return err
	}
	return r.PushImage(ref, image)
}
