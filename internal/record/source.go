package record

import "github.com/policy-frontend/policy-frontend/policy/buildrules"

// The kinds of sources, which are the names of operations in a file for eval --build.
const (
	KindImage     = "image"
	KindGit       = "git"
	KindHTTP      = "http"
	KindLocal     = "local"
	KindOCILayout = "ociLayout"
	KindBlob      = "blob"
	KindOther     = "other"
)

// What a source is read for, unless the build itself wants it.
const (
	ForFrontend = "frontend"
	ForRequest  = "request"
)

// SourceOf returns what an operation reads, with its URL as it is. It is one of the kind
// [KindOther] for an operation that reads nothing.
func SourceOf(o buildrules.Operation) Source {
	switch {
	case o.Image != "":
		return Source{Kind: KindImage, Name: o.Image}
	case o.Git != nil:
		return Source{Kind: KindGit, Name: o.Git.URL, Ref: o.Git.Ref, Checksum: o.Git.Checksum}
	case o.HTTP != nil:
		return Source{Kind: KindHTTP, Name: o.HTTP.URL, Checksum: o.HTTP.Checksum}
	case o.Local != "":
		return Source{Kind: KindLocal, Name: o.Local}
	case o.OCILayout != "":
		return Source{Kind: KindOCILayout, Name: o.OCILayout}
	case o.Blob != "":
		return Source{Kind: KindBlob, Name: o.Blob}
	}
	return Source{Kind: KindOther, Name: o.Unknown}
}

// Operations returns what rules check of the source: that it is read, and the secrets and agents
// that are used for it.
func (s Source) Operations() []buildrules.Operation {
	var read buildrules.Operation
	switch s.Kind {
	case KindImage:
		read.Image = s.Name
	case KindGit:
		read.Git = &buildrules.Git{URL: s.Name, Ref: s.Ref, Checksum: s.Checksum}
	case KindHTTP:
		read.HTTP = &buildrules.HTTP{URL: s.Name, Checksum: s.Checksum}
	case KindLocal:
		read.Local = s.Name
	case KindOCILayout:
		read.OCILayout = s.Name
	case KindBlob:
		read.Blob = s.Name
	default:
		read.Unknown = s.Name
	}
	all := []buildrules.Operation{read}
	if len(s.Secrets)+len(s.SSH) > 0 {
		all = append(all, buildrules.Operation{
			Exec: &buildrules.Exec{Secrets: s.Secrets, SSH: s.SSH},
		})
	}
	return all
}
