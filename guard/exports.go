package guard

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// maxNames bounds the names that one exporter gives an image.
const maxNames = 100

// Attributes that exporters read. The daemon copies any other attribute over what the frontend has
// returned, such as the configuration of the image.
var (
	// imageAttrs are those of all exporters that make an image
	// (exporter/containerimage/exptypes/keys.go).
	imageAttrs = []exptypes.ImageExporterOptKey{
		exptypes.OptKeyName, exptypes.OptKeyLayerCompression, exptypes.OptKeyForceCompression,
		exptypes.OptKeyCompressionLevel, exptypes.OptKeyOCITypes, exptypes.OptKeyOCIArtifact,
		exptypes.OptKeyForceInlineAttestations, exptypes.OptKeyPreferNondistLayers,
		exptypes.OptKeySourceDateEpoch, exptypes.OptKeyRewriteTimestamp,
	}
	// namingAttrs are those of the exporter image alone. What they ask for is judged.
	namingAttrs = []exptypes.ImageExporterOptKey{
		exptypes.OptKeyPush, exptypes.OptKeyPushByDigest, exptypes.OptKeyInsecure,
		exptypes.OptKeyUnpack, exptypes.OptKeyDanglingPrefix, exptypes.OptKeyDanglingEmptyOnly,
		exptypes.OptKeyNameCanonical, exptypes.OptKeyStore,
	}
	// clientAttrs are those of exporters to the client alone (exporter/local/fs.go,
	// exporter/oci/export.go).
	clientAttrs = []exptypes.ImageExporterOptKey{
		"tar", "attestation-prefix", "platform-split", "mode",
	}
	// filesAttrs are those of exporters of files to the client (exporter/local/fs.go). src is the part
	// of the result that is exported.
	filesAttrs = append(slices.Clone(clientAttrs), "src")
)

// preferImageDigest is an attribute that buildx sets for `--load` into a Docker Engine with
// containerd's image store, and reads itself after the build (buildx's build/opt.go). No exporter
// of the daemon knows it, so the daemon doesn't get it.
const preferImageDigest = "prefer-image-digest"

// exportersOf returns the exporters of a request, which has two fields for them. The daemon reads
// the old one only if the new one is empty (control/control.go, translateLegacySolveRequest).
func exportersOf(req *controlapi.SolveRequest) []*controlapi.Exporter {
	if len(req.Exporters) == 0 && req.ExporterDeprecated != "" {
		return []*controlapi.Exporter{{
			Type: req.ExporterDeprecated, Attrs: req.ExporterAttrsDeprecated,
		}}
	}
	return req.Exporters
}

// exporters returns the exporters of a request as the policy allows them.
func exporters(l policy.Layers, req *controlapi.SolveRequest) ([]*controlapi.Exporter, error) {
	var judged []*controlapi.Exporter
	for _, e := range exportersOf(req) {
		attrs, err := exporter(l, e.GetType(), e.GetAttrs())
		if err != nil {
			return nil, err
		}
		judged = append(judged, &controlapi.Exporter{Type: e.GetType(), Attrs: attrs})
	}
	return judged, nil
}

// exporter returns the attributes of an exporter, with the names that were judged.
func exporter(
	l policy.Layers, kind string, attrs map[string]string,
) (map[string]string, error) {
	export := policy.Export{Type: kind}
	own := clientAttrs
	switch kind {
	case policy.ExportImage:
		own = namingAttrs
	case client.ExporterLocal, client.ExporterTar:
		own = filesAttrs
	}
	attrs = maps.Clone(attrs)
	delete(attrs, preferImageDigest)
	for key := range attrs {
		a, isAnnotation, err := exptypes.ParseAnnotationKey(key)
		known := exptypes.ImageExporterOptKey(key)
		switch {
		case slices.Contains(imageAttrs, known) || slices.Contains(own, known):
		case isAnnotation && err == nil:
			export.Annotations = append(export.Annotations, a.Key)
		default:
			return nil, fmt.Errorf("its exporter has the attribute %s, which isn't allowed",
				safetext.Plain(key))
		}
	}
	slices.Sort(export.Annotations)
	if kind != policy.ExportImage {
		return attrs, denied(l, l.DecideExport(export))
	}
	if attrs == nil {
		attrs = map[string]string{}
	}
	if err := named(&export, attrs); err != nil {
		return nil, err
	}
	if err := denied(l, l.DecideExport(export)); err != nil {
		return nil, err
	}
	if !export.Push {
		return attrs, nil
	}
	// A pushed image is stored too, if the daemon has an image store.
	export.Push = false
	if l.DecideExport(export).Verdict != policy.Allow {
		attrs[string(exptypes.OptKeyStore)] = "false"
	}
	return attrs, nil
}

// named reads what the exporter image does with which names, and brings the names into the form in
// which they are judged.
func named(export *policy.Export, attrs map[string]string) error {
	on := map[exptypes.ImageExporterOptKey]bool{}
	for _, key := range namingAttrs {
		value, set := attrs[string(key)]
		if key == exptypes.OptKeyDanglingPrefix || !set {
			continue
		}
		var err error
		if on[key], err = isOn(value); err != nil {
			return fmt.Errorf("its exporter has %s=%s, which is neither true nor false", key,
				safetext.Plain(value))
		}
	}
	if on[exptypes.OptKeyInsecure] {
		return fmt.Errorf("its exporter has %s, which is for the daemon's configuration to say "+
			"(buildkitd.toml: [registry.\"host\"] with http or insecure)", exptypes.OptKeyInsecure)
	}
	export.Push = on[exptypes.OptKeyPush]
	prefix := string(exptypes.OptKeyDanglingPrefix)
	if written := attrs[prefix]; written != "" {
		name, err := imageName(written, true)
		if err != nil {
			return err
		}
		export.Names = append(export.Names, name)
		attrs[prefix] = name.Name()
	}
	list := string(exptypes.OptKeyName)
	if attrs[list] == "" {
		return nil
	}
	written := strings.Split(attrs[list], ",")
	if len(written) > maxNames {
		return fmt.Errorf("its exporter names the image %d times, which is more than %d", len(written),
			maxNames)
	}
	for i, s := range written {
		name, err := imageName(s, on[exptypes.OptKeyPushByDigest])
		if err != nil {
			return err
		}
		export.Names = append(export.Names, name)
		if written[i] = name.String(); on[exptypes.OptKeyPushByDigest] {
			written[i] = name.Name()
		}
	}
	attrs[list] = strings.Join(written, ",")
	return nil
}

// isOn reads an attribute that is there. An empty one is true.
func isOn(value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	return strconv.ParseBool(value)
}

// imageName reads a name for an image. It refuses "*", which stands for a name that the frontend
// chooses. It refuses a digest, because the daemon stores an image also under the name of
// another digest. With without, it refuses a tag.
func imageName(s string, without bool) (imageref.Reference, error) {
	ref, err := imageref.Parse(s)
	switch {
	case err != nil:
		return ref, fmt.Errorf("the name of its image can't be judged: %w", err)
	case ref.Digest() != "":
		return ref, fmt.Errorf("the name of its image has a digest: %s", safetext.Plain(s))
	}
	if parsed, err := reference.ParseNormalizedNamed(s); without &&
		(err != nil || !reference.IsNameOnly(parsed)) {
		return ref, fmt.Errorf("the name of its image has a tag, and it is named by its digest: %s",
			safetext.Plain(s))
	}
	return ref, nil
}

// denial is a refusal by the policy.
type denial struct{ reason, text, rule string }

// Error returns the reason. A client gets the whole text.
func (d denial) Error() string { return d.reason }

// denied returns the denial of a ruling, nil if it allows.
func denied(l policy.Layers, r policy.Ruling) error {
	if r.Verdict == policy.Allow {
		return nil
	}
	return denial{r.Reason, l.Denial(r), boundedRule(r.Layer, r.Rule)}
}

// told returns what a client is told about a refusal.
func told(err error) string {
	var d denial
	if errors.As(err, &d) {
		return d.text
	}
	return err.Error()
}
