package llbops

import (
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// sourceType is what the program knows about one type of source.
type sourceType struct {
	scheme string
	kind   buildrules.Kind
	// attrs are the attributes that the daemon reads and that this package handles (solver/pb/attr.go,
	// and Identifier of each package below source/).
	attrs []string
	// headers says that an attribute for each HTTP header is also known.
	headers bool
	// fixed are the attributes that decide what is read, and what the daemon uses of the client for
	// it. Other attributes only change how the result is stored.
	fixed []string
	// narrows are attributes that can only narrow what is read. They are fixed if they are there.
	narrows []string
	// read returns the operations of a source whose attributes are all known. The ref is the
	// identifier without its scheme.
	read func(ref string, op *pb.SourceOp) []buildrules.Operation
}

var sourceTypes = []sourceType{
	{
		scheme: srctypes.DockerImageScheme,
		kind:   buildrules.KindImages,
		attrs: []string{
			pb.AttrImageResolveMode, pb.AttrImageRecordType, pb.AttrImageLayerLimit,
			pb.AttrImageChecksum,
		},
		fixed:   []string{pb.AttrImageLayerLimit, pb.AttrImageResolveMode},
		narrows: []string{pb.AttrImageChecksum},
		read:    ofImage,
	},
	{
		scheme: srctypes.DockerImageBlobScheme,
		kind:   buildrules.KindBlob,
		attrs: []string{
			pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID,
			pb.AttrImageRecordType,
		},
		read: ofBlob,
	},
	{
		scheme: srctypes.OCIScheme,
		kind:   buildrules.KindOCILayout,
		attrs:  []string{pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrOCILayoutLayerLimit},
		fixed:  []string{pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrOCILayoutLayerLimit},
		read:   ofOCILayout,
	},
	{
		scheme: srctypes.OCIBlobScheme,
		kind:   buildrules.KindOCILayout,
		attrs: []string{
			pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID, pb.AttrImageRecordType,
			pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID,
		},
		fixed: []string{pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID},
		read:  ofOCILayout,
	},
	{
		scheme: srctypes.LocalScheme,
		kind:   buildrules.KindLocal,
		attrs: []string{
			pb.AttrLocalSessionID, pb.AttrLocalUniqueID, pb.AttrIncludePatterns, pb.AttrFollowPaths,
			pb.AttrExcludePatterns, pb.AttrSharedKeyHint, pb.AttrLocalDiffer, pb.AttrMetadataTransfer,
			pb.AttrMetadataTransferExclude,
		},
		fixed: []string{pb.AttrLocalSessionID},
		read: func(ref string, op *pb.SourceOp) []buildrules.Operation {
			return ofLocal(ref, op.GetAttrs())
		},
	},
	{
		scheme: srctypes.GitScheme,
		kind:   buildrules.KindGit,
		attrs: []string{
			pb.AttrKeepGitDir, pb.AttrFullRemoteURL, pb.AttrAuthHeaderSecret, pb.AttrAuthTokenSecret,
			pb.AttrKnownSSHHosts, pb.AttrMountSSHSock, pb.AttrGitChecksum, pb.AttrGitSkipSubmodules,
			pb.AttrGitMTime, pb.AttrGitFetchByCommit, pb.AttrGitBundle, pb.AttrGitCheckoutBundle,
			pb.AttrGitAdvice, pb.AttrGitSignatureVerifyPubKey, pb.AttrGitSignatureVerifyRejectExpired,
			pb.AttrGitSignatureVerifyRequireSignedTag, pb.AttrGitSignatureVerifyIgnoreSignedTag,
			pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID,
		},
		fixed: []string{
			pb.AttrFullRemoteURL, pb.AttrAuthTokenSecret, pb.AttrAuthHeaderSecret, pb.AttrMountSSHSock,
			pb.AttrGitBundle, pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID,
		},
		narrows: []string{pb.AttrGitChecksum, pb.AttrGitSkipSubmodules},
		read: func(ref string, op *pb.SourceOp) []buildrules.Operation {
			return ofGit(ref, op.GetAttrs())
		},
	},
	download(srctypes.HTTPScheme),
	download(srctypes.HTTPSScheme),
}

func download(scheme string) sourceType {
	return sourceType{
		scheme: scheme,
		kind:   buildrules.KindHTTP,
		attrs: []string{
			pb.AttrHTTPChecksum, pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID,
			pb.AttrHTTPAuthHeaderSecret, pb.AttrHTTPSignatureVerifyPubKey, pb.AttrHTTPSignatureVerify,
		},
		headers: true,
		fixed:   []string{pb.AttrHTTPAuthHeaderSecret},
		narrows: []string{pb.AttrHTTPChecksum},
		read: func(_ string, op *pb.SourceOp) []buildrules.Operation {
			return ofHTTP(op.GetIdentifier(), op.GetAttrs())
		},
	}
}

// typeOf returns the type of source for a scheme, or nil if it is unknown. The daemon compares
// schemes case-sensitively (source/manager.go, Identifier).
func typeOf(scheme string) *sourceType {
	for i := range sourceTypes {
		if sourceTypes[i].scheme == scheme {
			return &sourceTypes[i]
		}
	}
	return nil
}

// knows reports whether this package handles the attribute.
func (t *sourceType) knows(key string) bool {
	return slices.Contains(t.attrs, key) || t.headers &&
		strings.HasPrefix(key, pb.AttrHTTPHeaderPrefix)
}

// FromSource returns the operations of a source, at least one. They say what is read. They also say
// which secrets and ssh agents of the client are used, if the frontend chose them itself.
func FromSource(op *pb.SourceOp) []buildrules.Operation {
	if HasUnknownFields(op) {
		return []buildrules.Operation{unknown("a source with fields that this version does not know")}
	}
	scheme, ref, ok := strings.Cut(op.GetIdentifier(), "://")
	if !ok {
		return []buildrules.Operation{
			unknown("the source " + quote(op.GetIdentifier()) + ", which has no scheme"),
		}
	}
	t := typeOf(scheme)
	if t == nil {
		return []buildrules.Operation{unknown("a source of the unknown kind " + quote(scheme))}
	}
	for k := range op.GetAttrs() {
		if !t.knows(k) {
			return []buildrules.Operation{
				unknown("a " + scheme + " source with the unknown attribute " + quote(k)),
			}
		}
	}
	if name := op.GetAttrs()[pb.AttrHTTPFilename]; strings.ContainsAny(name, `/\`) ||
		name == "." || name == ".." {
		// Daemons before v0.28.1 write the file there.
		return []buildrules.Operation{unknown("a download to the file name " + quote(name))}
	}
	return t.read(ref, op)
}

func ofImage(ref string, _ *pb.SourceOp) []buildrules.Operation {
	return named(ref, "image", buildrules.Operation{Image: ref})
}

func ofBlob(ref string, _ *pb.SourceOp) []buildrules.Operation {
	return named(ref, "blob", buildrules.Operation{Blob: ref})
}

func ofOCILayout(ref string, _ *pb.SourceOp) []buildrules.Operation {
	return named(ref, "image in an OCI layout", buildrules.Operation{OCILayout: ref})
}

// named returns the operation if the reference is written in full. Otherwise readers differ: for
// "corp/base:1", the daemon asks the host corp (containerd's reference.Parse). Others ask Docker
// Hub.
func named(ref, what string, operation buildrules.Operation) []buildrules.Operation {
	full, err := reference.ParseNormalizedNamed(ref)
	if err != nil || full.String() != ref || reference.IsNameOnly(full) {
		return []buildrules.Operation{
			unknown(
				"the " + what + " " + quote(ref) +
					", which is not a reference in full, with host and tag or digest"),
		}
	}
	return []buildrules.Operation{operation}
}

// ofLocal reads a directory of the client. If the session ID has a colon, the daemon puts the part
// before it in front of the name (source/local/source.go, Identifier). Daemons that bring sources
// into their normal form do so twice, others once (solver/llbsolver/policy.go, evaluateSource). So
// the rules have to allow both names.
func ofLocal(name string, attrs map[string]string) []buildrules.Operation {
	if name == "" {
		return []buildrules.Operation{unknown("a directory of the client without a name")}
	}
	prefix, _, ok := strings.Cut(attrs[pb.AttrLocalSessionID], ":")
	if !ok {
		return []buildrules.Operation{{Local: name}}
	}
	once := prefix + "-" + name
	return []buildrules.Operation{{Local: once}, {Local: prefix + "-" + once}}
}

// ofHTTP reads a download. The URL is the first one, because nobody can know beforehand where the
// daemon is redirected.
func ofHTTP(url string, attrs map[string]string) []buildrules.Operation {
	found := []buildrules.Operation{
		{HTTP: &buildrules.HTTP{URL: url, Checksum: attrs[pb.AttrHTTPChecksum]}},
	}
	if secret := attrs[pb.AttrHTTPAuthHeaderSecret]; secret != "" {
		found = append(found, buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{secret}}})
	}
	return found
}

// WithAttr returns a copy of a source with an attribute set.
func WithAttr(source *pb.SourceOp, key, value string) *pb.SourceOp {
	attrs := map[string]string{}
	maps.Copy(attrs, source.GetAttrs())
	attrs[key] = value
	return &pb.SourceOp{Identifier: source.GetIdentifier(), Attrs: attrs}
}
