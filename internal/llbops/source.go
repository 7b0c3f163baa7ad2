package llbops

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/policy"
)

// FromSource returns the facts of a source: what is read, and what of the client's
// secrets or ssh agents is used for it, if a frontend chose one by itself. There is
// always at least one.
func FromSource(op *pb.SourceOp) []policy.Fact {
	if HasUnknownFields(op) {
		return []policy.Fact{unknown("a source with fields that this version does not know")}
	}
	// As the daemon does (source/manager.go, Identifier): schemes are compared as
	// they are written.
	scheme, ref, ok := strings.Cut(op.GetIdentifier(), "://")
	if !ok {
		return []policy.Fact{unknown("the source " + quote(op.GetIdentifier()) + ", which has no scheme")}
	}
	known := knownAttrs(scheme)
	if known == nil {
		return []policy.Fact{unknown("a source of the unknown kind " + quote(scheme))}
	}
	for k := range op.GetAttrs() {
		if !known(k) {
			return []policy.Fact{unknown("a " + scheme + " source with the unknown attribute " + quote(k))}
		}
	}
	switch scheme {
	case srctypes.DockerImageScheme:
		return []policy.Fact{named(ref, "image", func(r string) policy.Fact { return policy.Fact{Image: r} })}
	case srctypes.DockerImageBlobScheme:
		return []policy.Fact{named(ref, "blob", func(r string) policy.Fact { return policy.Fact{Blob: r} })}
	case srctypes.OCIScheme, srctypes.OCIBlobScheme:
		return []policy.Fact{named(ref, "image in an OCI layout", func(r string) policy.Fact { return policy.Fact{OCILayout: r} })}
	case srctypes.LocalScheme:
		return ofLocal(ref, op.GetAttrs())
	case srctypes.GitScheme:
		return ofGit(ref, op.GetAttrs())
	default:
		return ofHTTP(op.GetIdentifier(), op.GetAttrs())
	}
}

// knownAttrs returns what tells the attributes of a scheme that the daemon reads
// and we have accounted for (solver/pb/attr.go, and Identifier of each package
// below source/); nil for an unknown scheme.
func knownAttrs(scheme string) func(key string) bool {
	switch scheme {
	case srctypes.DockerImageScheme:
		return oneOf(pb.AttrImageResolveMode, pb.AttrImageRecordType, pb.AttrImageLayerLimit, pb.AttrImageChecksum)
	case srctypes.DockerImageBlobScheme:
		return oneOf(pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID, pb.AttrImageRecordType)
	case srctypes.OCIScheme:
		return oneOf(pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrOCILayoutLayerLimit)
	case srctypes.OCIBlobScheme:
		return oneOf(pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID, pb.AttrImageRecordType,
			pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID)
	case srctypes.LocalScheme:
		return oneOf(pb.AttrLocalSessionID, pb.AttrLocalUniqueID, pb.AttrIncludePatterns, pb.AttrFollowPaths, pb.AttrExcludePatterns,
			pb.AttrSharedKeyHint, pb.AttrLocalDiffer, pb.AttrMetadataTransfer, pb.AttrMetadataTransferExclude)
	case srctypes.GitScheme:
		return oneOf(pb.AttrKeepGitDir, pb.AttrFullRemoteURL, pb.AttrAuthHeaderSecret, pb.AttrAuthTokenSecret, pb.AttrKnownSSHHosts,
			pb.AttrMountSSHSock, pb.AttrGitChecksum, pb.AttrGitSkipSubmodules, pb.AttrGitMTime, pb.AttrGitFetchByCommit, pb.AttrGitBundle,
			pb.AttrGitCheckoutBundle, pb.AttrGitAdvice, pb.AttrGitSignatureVerifyPubKey, pb.AttrGitSignatureVerifyRejectExpired,
			pb.AttrGitSignatureVerifyRequireSignedTag, pb.AttrGitSignatureVerifyIgnoreSignedTag, pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID)
	case srctypes.HTTPScheme, srctypes.HTTPSScheme:
		known := oneOf(pb.AttrHTTPChecksum, pb.AttrHTTPFilename, pb.AttrHTTPPerm, pb.AttrHTTPUID, pb.AttrHTTPGID, pb.AttrHTTPAuthHeaderSecret,
			pb.AttrHTTPSignatureVerifyPubKey, pb.AttrHTTPSignatureVerify)
		return func(k string) bool { return known(k) || strings.HasPrefix(k, pb.AttrHTTPHeaderPrefix) }
	default:
		return nil
	}
}

func oneOf(keys ...string) func(string) bool {
	return func(key string) bool {
		for _, k := range keys {
			if k == key {
				return true
			}
		}
		return false
	}
}

// named makes the fact of a reference. It has to be written in full: of
// "corp/base:1" the daemon makes the host corp (containerd's reference.Parse), and
// everybody else Docker Hub.
func named(ref, kind string, fact func(ref string) policy.Fact) policy.Fact {
	full, err := reference.ParseNormalizedNamed(ref)
	if err != nil || full.String() != ref || reference.IsNameOnly(full) {
		return unknown("the " + kind + " " + quote(ref) + ", which is not a reference in full, with host and tag or digest")
	}
	return fact(ref)
}

// ofLocal reads a folder of the client. A session with a colon puts its first part
// before the name (source/local/source.go, Identifier). Daemons that bring sources
// into their normal form before they read them do so twice (solver/llbsolver/policy.go,
// evaluateSource), others once: whichever it is has to be allowed.
func ofLocal(name string, attrs map[string]string) []policy.Fact {
	if name == "" {
		return []policy.Fact{unknown("a folder of the client without a name")}
	}
	prefix, _, ok := strings.Cut(attrs[pb.AttrLocalSessionID], ":")
	if !ok {
		return []policy.Fact{{Local: name}}
	}
	once := prefix + "-" + name
	return []policy.Fact{{Local: once}, {Local: prefix + "-" + once}}
}

// ofHTTP reads a download. The daemon follows redirects, which nobody can know
// beforehand: the URL is the first one.
func ofHTTP(url string, attrs map[string]string) []policy.Fact {
	found := []policy.Fact{{HTTP: &policy.HTTPFact{URL: url, Checksum: attrs[pb.AttrHTTPChecksum]}}}
	if secret := attrs[pb.AttrHTTPAuthHeaderSecret]; secret != "" {
		found = append(found, policy.Fact{Exec: &policy.ExecFact{Secrets: []string{secret}}})
	}
	return found
}
