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
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// maxReferrers bounds the referrers that are looked at.
	maxReferrers = 200
	// maxNotes bounds [Found.Skipped].
	maxNotes = 10
	// emptyConfig is the media type of a configuration that says nothing (image-spec, manifest.md).
	emptyConfig = "application/vnd.oci.empty.v1+json"
	// emptyDigest is the digest of that configuration, {}.
	emptyDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
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
	with := r.With(ctx, subject.Registry)
	of, err := remote.Head(subject, with...)
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
		if err := remote.WriteLayer(subject.Context(), part, with...); err != nil {
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
	return remote.Put(subject.Context().Digest(own.String()), m, with...)
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

// Found is what is beside an image.
type Found struct {
	Image vsa.Digest // its digest
	// Bundles are those of the image. Nobody has verified them.
	Bundles [][]byte
	// Skipped says what was skipped, and why. It has a few lines at most.
	Skipped []string
}

// skip says that something was skipped.
func (f *Found) skip(what string, why error) {
	switch len(f.Skipped) {
	case maxNotes: // which was said before
	case maxNotes - 1:
		f.Skipped = append(f.Skipped, "others, too")
	default:
		f.Skipped = append(f.Skipped, safetext.Printable(fmt.Sprintf("%s: %v", what, why)))
	}
}

// last returns the last of the items that may be bundles, and notes if there are others. Where a
// list has the order of pushing, these are the newest.
func last[T any](f *Found, items []T) []T {
	more := len(items) - maxReferrers
	if more <= 0 {
		return items
	}
	f.skip(fmt.Sprintf("the first %d", more),
		fmt.Errorf("more than %d bundles are beside the image", maxReferrers))
	return items[more:]
}

// Find finds the bundles that are beside an image. It trusts neither what a bundle says nor that it
// is complete. It skips what it can't read, and all but the last [maxReferrers].
func (r Registries) Find(ctx context.Context, reference string) (f Found, err error) {
	ref, err := name.ParseReference(reference, r.Names(reference)...)
	if err != nil {
		return f, err
	}
	with := r.With(ctx, ref.Context().Registry)
	subject, ok := ref.(name.Digest)
	if !ok {
		head, err := remote.Head(ref, with...)
		if err != nil {
			return f, err
		}
		subject = ref.Context().Digest(head.Digest.String())
	}
	if f.Image, err = vsa.ParseDigest(subject.DigestStr()); err != nil {
		return f, err
	}
	index, err := remote.Referrers(subject, with...)
	if err != nil {
		return f, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return f, err
	}
	// Some registries take the type of the configuration for that of the artifact.
	all := slices.DeleteFunc(list.Manifests, func(d v1.Descriptor) bool {
		return !slices.Contains([]string{"", vsa.BundleType, emptyConfig}, d.ArtifactType)
	})
	for _, d := range last(&f, all) {
		bundle, err := bundleOf(subject.Context(), d, with)
		switch {
		case ctx.Err() != nil:
			return f, ctx.Err()
		case err != nil:
			f.skip(d.Digest.String(), err)
		case bundle != nil:
			f.Bundles = append(f.Bundles, bundle)
		}
	}
	return f, nil
}

// members are the names that a manifest may have (image-spec, manifest.md).
var members = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations",
}

// ofBundle returns the manifest if it is one of a bundle, as [Registries.Push] makes it; nil if
// not. No program can take what it returns for an image or an index: it has no configuration, and
// no other names.
func ofBundle(data []byte) *v1.Manifest {
	var m v1.Manifest
	if vsa.Unmarshal(data, &m) != nil {
		return nil
	}
	var names map[string]json.RawMessage
	if json.Unmarshal(data, &names) != nil {
		return nil
	}
	for name := range names {
		if !slices.Contains(members, name) {
			return nil
		}
	}
	if m.MediaType != types.OCIManifestSchema1 || m.ArtifactType != vsa.BundleType ||
		m.Config.MediaType != emptyConfig || m.Config.Digest.String() != emptyDigest ||
		m.Subject == nil || len(m.Layers) != 1 || m.Layers[0].MediaType != vsa.BundleType ||
		len(m.Layers[0].URLs) > 0 {
		return nil
	}
	return &m
}

// bundleOf returns the bundle that a manifest has; nil if it has none.
func bundleOf(from name.Repository, d v1.Descriptor, with []remote.Option) ([]byte, error) {
	if d.MediaType != types.OCIManifestSchema1 {
		return nil, fmt.Errorf("it is no manifest but %s", d.MediaType)
	}
	if d.Size > maxManifest {
		return nil, errTooLarge(maxManifest)
	}
	img, err := remote.Image(from.Digest(d.Digest.String()), with...)
	if err != nil {
		return nil, err
	}
	data, err := img.RawManifest()
	if err != nil {
		return nil, err
	}
	m := ofBundle(data)
	if m == nil {
		return nil, nil
	}
	if m.Layers[0].Size > vsa.MaxEnvelope {
		return nil, errTooLarge(vsa.MaxEnvelope)
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
