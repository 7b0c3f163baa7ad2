package llbops

import (
	"maps"
	"path"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Schemes returns the schemes of a kind of source, without "://". Other kinds have none.
func Schemes(k buildrules.Kind) []string {
	var out []string
	for i := range sourceTypes {
		if sourceTypes[i].kind == k {
			out = append(out, sourceTypes[i].scheme)
		}
	}
	return out
}

// Identifiers returns the identifiers that the daemon may compare with source policies. One is the
// identifier itself. The other is its normal form, which some daemons compute first
// (solver/llbsolver/policy.go, normalizedSourceIdentifier).
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

// normalGit returns what GitIdentifier.String in source/git/identifier.go returns, for an
// identifier that ofGit accepts.
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

// SessionAttr returns the attribute that names the client's session from which a source is read. It
// is "" for a source that is read from no session.
func SessionAttr(op *pb.SourceOp) string {
	scheme, _, _ := strings.Cut(op.GetIdentifier(), "://")
	switch scheme {
	case srctypes.LocalScheme:
		return pb.AttrLocalSessionID
	case srctypes.OCIScheme, srctypes.OCIBlobScheme:
		return pb.AttrOCILayoutSessionID
	}
	return ""
}

// Fixed returns the attributes that decide what is read, and what the daemon uses of the client for
// it. The value is "" for an attribute that isn't there. Those that only narrow what is read are
// not among them if they are missing: a checksum, and that a git repository is read without
// submodules.
func Fixed(op *pb.SourceOp) map[string]string {
	attrs := op.GetAttrs()
	fixed := map[string]string{}
	scheme, _, _ := strings.Cut(op.GetIdentifier(), "://")
	t := typeOf(scheme)
	if t == nil {
		return maps.Clone(attrs)
	}
	for _, k := range t.fixed {
		fixed[k] = attrs[k]
	}
	for _, k := range t.narrows {
		if attrs[k] != "" {
			fixed[k] = attrs[k]
		}
	}
	return fixed
}
