// Package attached puts bundles with signed statements beside images in registries, and finds them
// there and in image layouts, as referrers of OCI 1.1. For a registry without a list of referrers,
// it uses the tag that the specification of OCI has for that. Credentials are those of the user's
// Docker configuration.
package attached

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// maxReferrers bounds the referrers that are looked at.
	maxReferrers = 200
	// emptyConfig is the media type of a configuration that says nothing (image-spec, manifest.md).
	emptyConfig = "application/vnd.oci.empty.v1+json"
	// annotationContent and annotationPredicate are what cosign adds to a bundle
	// (pkg/oci/remote/write.go, WriteAttestationNewBundleFormat).
	annotationContent   = "dev.sigstore.bundle.content"
	annotationPredicate = "dev.sigstore.bundle.predicateType"
)

// Registries are registries with the credentials of the user.
type Registries struct{ *lock.Registry }

// digest returns the image with that digest in a repository.
func (r Registries) digest(repository string, image vsa.Digest) (name.Digest, error) {
	return name.NewDigest(repository+"@"+image.String(), r.Names(repository)...)
}

// manifest is an image manifest of OCI 1.1. That of the registry client has no artifactType.
type manifest struct {
	v1.Manifest
	ArtifactType string `json:"artifactType"`
}

// RawManifest implements [remote.Taggable].
func (m manifest) RawManifest() ([]byte, error) { return json.Marshal(m) }

// MediaType says what the manifest is. The registry client asks for it.
func (manifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// Push puts a bundle beside an image in each repository where the image is. It tries all of them.
func (r Registries) Push(
	ctx context.Context, repositories []string, image vsa.Digest, bundle []byte,
) error {
	var problems []error
	for _, repository := range repositories {
		if err := r.push(ctx, repository, image, bundle); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", repository, err))
		}
	}
	return errors.Join(problems...)
}

func (r Registries) push(
	ctx context.Context, repository string, image vsa.Digest, bundle []byte,
) error {
	subject, err := r.digest(repository, image)
	if err != nil {
		return err
	}
	of, err := remote.Head(subject, r.With(ctx)...)
	if err != nil {
		return err
	}
	layer := static.NewLayer(bundle, vsa.BundleType)
	config := static.NewLayer([]byte("{}"), emptyConfig)
	m := manifest{ArtifactType: vsa.BundleType}
	m.SchemaVersion, m.Manifest.MediaType = 2, types.OCIManifestSchema1
	m.Subject = &v1.Descriptor{MediaType: of.MediaType, Digest: of.Digest, Size: of.Size}
	m.Annotations = map[string]string{
		annotationContent: "dsse-envelope", annotationPredicate: vsa.PredicateType,
	}
	for _, part := range []v1.Layer{config, layer} {
		if err := remote.WriteLayer(subject.Context(), part, r.With(ctx)...); err != nil {
			return err
		}
		d, err := described(part)
		if err != nil {
			return err
		}
		if part == config {
			m.Config = d
		} else {
			m.Layers = []v1.Descriptor{d}
		}
	}
	data, err := m.RawManifest()
	if err != nil {
		return err
	}
	own, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return remote.Put(subject.Context().Digest(own.String()), m, r.With(ctx)...)
}

// described returns the descriptor of a layer.
func described(l v1.Layer) (d v1.Descriptor, err error) {
	if d.Digest, err = l.Digest(); err != nil {
		return d, err
	}
	if d.Size, err = l.Size(); err != nil {
		return d, err
	}
	d.MediaType, err = l.MediaType()
	return d, err
}

// Find returns the digest of an image, and the bundles that are beside it. It trusts neither what a
// bundle says nor that it is complete. At most [maxReferrers] are looked at.
func (r Registries) Find(
	ctx context.Context, reference string,
) (image vsa.Digest, bundles [][]byte, err error) {
	ref, err := name.ParseReference(reference, r.Names(reference)...)
	if err != nil {
		return image, nil, err
	}
	subject, ok := ref.(name.Digest)
	if !ok {
		head, err := remote.Head(ref, r.With(ctx)...)
		if err != nil {
			return image, nil, err
		}
		subject = ref.Context().Digest(head.Digest.String())
	}
	if image, err = vsa.ParseDigest(subject.DigestStr()); err != nil {
		return image, nil, err
	}
	index, err := remote.Referrers(subject, r.With(ctx)...)
	if err != nil {
		return image, nil, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return image, nil, err
	}
	looked := 0
	for _, d := range list.Manifests {
		// Some registries take the type of the configuration for that of the artifact.
		if !slices.Contains([]string{"", vsa.BundleType, emptyConfig}, d.ArtifactType) {
			continue
		}
		if looked++; looked > maxReferrers {
			return image, bundles, errTooMany
		}
		bundle, err := r.bundle(ctx, subject.Context().Digest(d.Digest.String()))
		if err != nil {
			return image, bundles, err
		}
		if bundle != nil {
			bundles = append(bundles, bundle)
		}
	}
	return image, bundles, nil
}

var errTooMany = fmt.Errorf("more than %d bundles are beside the image", maxReferrers)

// hasBundle reports whether a manifest is of one bundle.
func hasBundle(m *v1.Manifest) bool {
	return len(m.Layers) == 1 && m.Layers[0].MediaType == vsa.BundleType &&
		m.Layers[0].Size <= vsa.MaxEnvelope
}

// bundle returns the bundle that a manifest has; nil if it has none.
func (r Registries) bundle(ctx context.Context, ref name.Digest) ([]byte, error) {
	img, err := remote.Image(ref, r.With(ctx)...)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if !hasBundle(m) {
		return nil, nil
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	content, err := layers[0].Compressed() // which reads it as it is, and verifies its digest
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, vsa.MaxEnvelope))
}
