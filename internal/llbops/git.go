package llbops

import (
	"cmp"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"
	"github.com/moby/buildkit/util/gitutil"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// BuildKit's client puts these secrets and this ssh agent on every git source
// (client/llb/source.go, Git). The daemon uses them if the client has them for that host. Any other
// is the frontend's own choice.
const (
	defaultGitToken  = "GIT_AUTH_TOKEN" //nolint:gosec // the name of a secret, not a secret
	defaultGitHeader = "GIT_AUTH_HEADER"
	defaultSSH       = "default"
)

// ofGit reads a git repository (source/git/identifier.go, and Identifier in source/git/source.go).
// The identifier has the host and the path. The attribute git.fullurl has the address with scheme
// and user, and the daemon fetches from it. Newer daemons demand that both mean the same
// repository; ofGit always does.
//
// The daemon also fetches submodules, which nobody can know beforehand.
func ofGit(id string, attrs map[string]string) []buildrules.Operation {
	remote, err := parseRemote(id)
	if err != nil {
		return []buildrules.Operation{
			unknown("the git repository " + quote(id) + ", whose address can't be read"),
		}
	}
	if !readsTheSame(remote, id, attrs) {
		return []buildrules.Operation{
			unknown(
				"the git repository " + quote(id) +
					", which is another one when the daemon has normalised its address"),
		}
	}
	url, problem := gitAddress(remote, attrs)
	if problem != "" {
		return []buildrules.Operation{unknown("the git repository " + quote(id) + problem)}
	}
	operation := buildrules.Git{URL: url, Checksum: attrs[pb.AttrGitChecksum]}
	if remote.Opts != nil {
		operation.Ref = remote.Opts.Ref
	}
	if leavesRepository(id) || strings.HasPrefix(operation.Ref, "-") { // older daemons follow both
		return []buildrules.Operation{
			unknown("the git repository " + quote(id) +
				", with a directory outside of it or a ref like an option"),
		}
	}
	found := []buildrules.Operation{{Git: &operation}}
	if use := gitAuth(attrs); use.Secrets != nil || use.SSH != nil {
		found = append(found, buildrules.Operation{Exec: &use})
	}
	if bundle := attrs[pb.AttrGitBundle]; bundle != "" {
		found = append(found, ofBundle(bundle))
	}
	return found
}

// leavesRepository reports whether a directory that is named after the address leads out of the
// repository. gitutil cleans the path, and daemons before v0.28.1 don't.
func leavesRepository(id string) bool {
	i := strings.IndexAny(id, "#?")
	if i < 0 {
		return false
	}
	after, err := url.PathUnescape(id[i:])
	return err != nil || slices.Contains(strings.FieldsFunc(after, func(r rune) bool {
		return strings.ContainsRune("#?:/=&\\", r)
	}), "..")
}

// gitAddress returns the URL of the repository. If it isn't valid, problem completes "the git
// repository ID".
func gitAddress(remote *gitutil.GitURL, attrs map[string]string) (url, problem string) {
	if full, ok := attrs[pb.AttrFullRemoteURL]; ok {
		address, err := parseRemote(full)
		if err != nil || address.Opts != nil || address.Query != nil ||
			!strings.EqualFold(address.Host, remote.Host) ||
			repositoryPath(address.Path) != repositoryPath(remote.Path) {
			return "", " by another address (git.fullurl)"
		}
		remote = address
	}
	if remote.Host == "" {
		return "", ", which has no host"
	}
	return remoteURL(remote), ""
}

// gitAuth returns the secrets and the ssh agent that a frontend chose for a repository.
func gitAuth(attrs map[string]string) buildrules.Exec {
	var use buildrules.Exec
	for _, s := range []struct{ id, free string }{
		{attrs[pb.AttrAuthTokenSecret], defaultGitToken},
		{attrs[pb.AttrAuthHeaderSecret], defaultGitHeader},
	} {
		if s.id != "" && s.id != s.free {
			use.Secrets = append(use.Secrets, s.id)
		}
	}
	if sock := attrs[pb.AttrMountSSHSock]; sock != "" && sock != defaultSSH {
		use.SSH = []string{sock}
	}
	return use
}

// readsTheSame reports whether all daemons read the identifier in the same way. Some bring it into
// its normal form first (solver/llbsolver/policy.go, evaluateSource). The normal form has no scheme
// and no user, and its path is decoded.
func readsTheSame(remote *gitutil.GitURL, id string, attrs map[string]string) bool {
	full, hasFull := attrs[pb.AttrFullRemoteURL]
	again, err := parseRemote(strings.TrimPrefix(normalGit(id, full), srctypes.GitScheme+"://"))
	if err != nil || remote.Query != nil || again.Query != nil {
		return false
	}
	var a, b gitutil.GitURLOpts
	if remote.Opts != nil {
		a = *remote.Opts
	}
	if again.Opts != nil {
		b = *again.Opts
	}
	return a == b && path.Join("/", again.Path) == path.Join("/", remote.Path) &&
		(hasFull || again.Scheme == remote.Scheme && strings.EqualFold(again.Host, remote.Host))
}

// ofBundle reads the blob that replaces the repository of a git source.
func ofBundle(locator string) buildrules.Operation {
	scheme, ref, _ := strings.Cut(locator, "://")
	switch scheme {
	case srctypes.DockerImageBlobScheme:
		return ofBlob(ref, nil)[0]
	case srctypes.OCIBlobScheme:
		return ofOCILayout(ref, nil)[0]
	default:
		return unknown("a git bundle from " + quote(locator))
	}
}

// Bundle returns the blob of a git source as the source that the daemon compares with source
// policies (solver/llbsolver/policy.go, gitBundleSourceOp). It returns nil if there is none. Call
// it only for a git source that FromSource has accepted.
func Bundle(op *pb.SourceOp) *pb.SourceOp {
	attrs := op.GetAttrs()
	bundle := &pb.SourceOp{Identifier: attrs[pb.AttrGitBundle], Attrs: map[string]string{}}
	scheme, ref, _ := strings.Cut(bundle.Identifier, "://")
	switch scheme {
	case srctypes.DockerImageBlobScheme:
	case srctypes.OCIBlobScheme:
		if session, ok := attrs[pb.AttrOCILayoutSessionID]; ok {
			bundle.Attrs[pb.AttrOCILayoutSessionID] = session
		}
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil
		}
		bundle.Attrs[pb.AttrOCILayoutStoreID] = cmp.Or(attrs[pb.AttrOCILayoutStoreID], named.Name())
	default:
		return nil
	}
	return bundle
}

func parseRemote(s string) (*gitutil.GitURL, error) {
	if !gitutil.IsGitTransport(s) {
		s = "https://" + s
	}
	return gitutil.ParseURL(s)
}

// remoteURL returns the address as a URL, also if it is written as for scp.
func remoteURL(u *gitutil.GitURL) string {
	if strings.HasPrefix(strings.ToLower(u.Remote), u.Scheme+"://") {
		return u.Remote
	}
	return (&url.URL{
		Scheme: u.Scheme, User: u.User, Host: u.Host,
		Path: "/" + strings.TrimPrefix(u.Path, "/"),
	}).String()
}

// repositoryPath returns the form of a path in which the daemon compares the two addresses.
func repositoryPath(p string) string { return strings.TrimSuffix(path.Join("/", p), ".git") }
