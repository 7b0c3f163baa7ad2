package llbops

import (
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Schemes returns the schemes of sources of a kind, without "://"; none for a kind
// that isn't one of sources.
func Schemes(k policy.Kind) []string {
	switch k {
	case policy.KindImages:
		return []string{srctypes.DockerImageScheme}
	case policy.KindBlob:
		return []string{srctypes.DockerImageBlobScheme}
	case policy.KindOCILayout:
		return []string{srctypes.OCIScheme, srctypes.OCIBlobScheme}
	case policy.KindLocal:
		return []string{srctypes.LocalScheme}
	case policy.KindGit:
		return []string{srctypes.GitScheme}
	case policy.KindHTTP:
		return []string{srctypes.HTTPScheme, srctypes.HTTPSScheme}
	default:
		return nil
	}
}

// Identifiers returns the identifiers under which the daemon may compare a source
// with source policies: as it is, and in the normal form that daemons of our
// version bring it into first (solver/llbsolver/policy.go,
// normalizedSourceIdentifier).
func Identifiers(op *pb.SourceOp) []string {
	id := op.GetIdentifier()
	scheme, ref, _ := strings.Cut(id, "://")
	normal := id
	switch scheme {
	case srctypes.LocalScheme:
		normal = scheme + "://" + ofLocal(ref, op.GetAttrs())[0].Local
	case srctypes.GitScheme:
		normal = normalGit(ref, op.GetAttrs()[pb.AttrFullRemoteURL])
	}
	if normal == id {
		return []string{id}
	}
	return []string{id, normal}
}

// normalGit is GitIdentifier.String of source/git/identifier.go, for an identifier
// that ofGit accepts.
func normalGit(id, full string) string {
	remote, err := parseRemote(id)
	if err != nil {
		return srctypes.GitScheme + "://" + id
	}
	host := remote.Host
	if address, err := parseRemote(full); full != "" && err == nil {
		host = address.Host
	}
	normal := srctypes.GitScheme + "://" + host + path.Join("/", remote.Path)
	if o := remote.Opts; o != nil && (o.Ref != "" || o.Subdir != "") {
		normal += "#" + o.Ref
		if o.Subdir != "" {
			normal += ":" + o.Subdir
		}
	}
	return normal
}

// Fixed returns the attributes of a source by which what is read, or what of the
// client is used for it, would change, with their values; "" for one that is not
// there. A checksum that isn't there is not fixed: that somebody adds one only
// narrows what is read.
func Fixed(op *pb.SourceOp) map[string]string {
	attrs := op.GetAttrs()
	fixed := map[string]string{}
	hold := func(keys ...string) {
		for _, k := range keys {
			fixed[k] = attrs[k]
		}
	}
	checksum := func(key string) {
		if attrs[key] != "" {
			hold(key)
		}
	}
	scheme, _, _ := strings.Cut(op.GetIdentifier(), "://")
	switch scheme {
	case srctypes.DockerImageScheme:
		hold(pb.AttrImageLayerLimit, pb.AttrImageResolveMode)
		checksum(pb.AttrImageChecksum)
	case srctypes.OCIScheme:
		hold(pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrOCILayoutLayerLimit)
	case srctypes.OCIBlobScheme:
		hold(pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID)
	case srctypes.LocalScheme:
		hold(pb.AttrLocalSessionID)
	case srctypes.GitScheme:
		hold(pb.AttrFullRemoteURL, pb.AttrAuthTokenSecret, pb.AttrAuthHeaderSecret, pb.AttrMountSSHSock, pb.AttrGitSkipSubmodules,
			pb.AttrGitBundle, pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID)
		checksum(pb.AttrGitChecksum)
	case srctypes.HTTPScheme, srctypes.HTTPSScheme:
		hold(pb.AttrHTTPAuthHeaderSecret)
		checksum(pb.AttrHTTPChecksum)
	}
	return fixed
}
