package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// dropOldest removes all but the newest n entries of dir.
func dropOldest(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var infos []os.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range infos[min(n, len(infos)):] {
		if err := os.RemoveAll(filepath.Join(dir, info.Name())); err != nil {
			return err
		}
	}
	return nil
}

// keep saves the image at ref as an OCI layout for later processes, and drops
// the oldest ones.
func (e *Env) keep(ref, dir, kept string) error {
	desc, err := e.Registry.get(ref)
	if err != nil {
		return err
	}
	tmp := kept + ".new"
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
	if err := os.Rename(tmp, kept); err != nil {
		return err
	}
	return dropOldest(dir, imagesKept)
}

// pushKept pushes what keep saved.
func (e *Env) pushKept(ref string, saved v1.ImageIndex) error {
	manifest, err := saved.IndexManifest()
	if err != nil {
		return err
	}
	if len(manifest.Manifests) != 1 {
		return fmt.Errorf("the kept image has %d manifests instead of one: run make clean", len(manifest.Manifests))
	}
	m := manifest.Manifests[0]
	if m.MediaType.IsIndex() {
		index, err := saved.ImageIndex(m.Digest)
		if err != nil {
			return err
		}
		return e.Registry.pushIndex(ref, index)
	}
	image, err := saved.Image(m.Digest)
	if err != nil {
		return err
	}
	return e.Registry.pushImage(ref, image)
}
