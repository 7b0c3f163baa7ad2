package buildrules

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Normalized is an operation in the form that rules check. See [Operation.Normalize].
type Normalized struct {
	row     *row
	subject string             // a reference or URL, named without its value
	ref     imageref.Reference // images, ociLayout, blob and frontends
	url     urlmatch.URL       // git and http
	isFixed bool               // git and http: the commit or the checksum is known
	name    string             // local
	process process            // exec and containers
	config  config

	own       bool // images: it is the image of the frontend that asks
	client    clients.Client
	now       time.Time     // the zero time if it is not known
	tagDigest digest.Digest // that the tag of the image points to, or "" if it was not looked up
	converted bool          // the image is the result of conversions, so none applies to it
	// What the rules of the last check found out about the image.
	unverified, byTag bool
}

// At returns the operation at a time; the zero time if that is not known. points is the digest to
// which the tag of the image points that is read, or "" if it was not looked up.
func (n Normalized) At(now time.Time, points digest.Digest) Normalized {
	n.now, n.tagDigest = now, points
	return n
}

// By returns the operation in a build of the client.
func (n Normalized) By(c clients.Client) Normalized {
	n.client = c
	return n
}

// AsConverted returns the operation on an image that the rules' conversions resulted in. None is
// applied to it again.
func (n Normalized) AsConverted() Normalized {
	n.converted = true
	return n
}

// AsOwn returns the operation for the image that the frontend itself runs from, by its digest. To
// read it gives the frontend nothing that it doesn't have. So it needs no allow and isn't
// converted, but what denies it still does.
func (n Normalized) AsOwn() Normalized {
	n.own = true
	return n
}

// TagUnverified reports whether the rules that checked the operation last relied on the tag of an
// image that has a digest too, and the tag was not looked up.
func (n Normalized) TagUnverified() bool { return n.unverified }

// ByTag reports whether the rules that checked the operation last depend on the tag or on the
// digest of the image. Then no digest may be added to its reference.
func (n Normalized) ByTag() bool { return n.byTag }

// Reference returns the image that is read. It is zero for a kind that has no reference.
func (n Normalized) Reference() imageref.Reference { return n.ref }

// row returns the row of the operation's kind. It fails as [Operation.Kind] does.
func (o Operation) row() (*row, error) {
	var found *row
	set := 0
	if o.Unknown != "" {
		set++
	}
	for i := range kinds {
		if kinds[i].matches(o) {
			found = &kinds[i]
			set++
		}
	}
	switch {
	case set == 0:
		return nil, errors.New("it asks for something without a name, which no rule can allow")
	case set > 1:
		return nil, errors.New("it asks for several things as if they were one, which no rule can allow")
	case o.Unknown != "":
		return nil, fmt.Errorf("it asks for %s, which no rule can allow", safetext.Printable(o.Unknown))
	}
	return found, nil
}

// Kind returns the kind of the operation. It fails for an operation that no rule can allow: one
// that sets no field, more than one, or Unknown. The error is a sentence without its end, such
// as "it asks for X, which no rule can allow".
func (o Operation) Kind() (Kind, error) {
	row, err := o.row()
	if err != nil {
		return "", err
	}
	return row.kind, nil
}

// Normalize brings the operation, which is of the kind k, into the form that rules check. It
// fails if two programs could read the operation in two ways. The error completes "it asks for".
func (o Operation) Normalize(k Kind) (Normalized, error) {
	row := k.row()
	if row == nil || !row.matches(o) {
		return Normalized{}, errors.New("something of an unknown kind")
	}
	n, err := row.normalize(o)
	n.row = row
	return n, err
}

func normalizeReference(article, what, s string) (Normalized, error) {
	ref, err := imageref.Parse(s)
	if err != nil {
		return Normalized{}, fmt.Errorf("%s %s that can't be checked: %w", article, what, err)
	}
	return Normalized{subject: "the " + what, ref: ref}, nil
}

func normalizeBlob(o Operation) (Normalized, error) {
	n, err := normalizeReference("a", "blob", o.Blob)
	if err == nil && n.ref.Digest() == "" {
		err = fmt.Errorf("the blob %s without its digest", n.ref)
	}
	return n, err
}

func normalizeLocal(o Operation) (Normalized, error) {
	if o.HTTP != nil {
		return Normalized{name: mainContext}, nil
	}
	return Normalized{name: o.Local}, checkText("the name of a directory", o.Local)
}

// mainContext is the name under which clients send the directory that they build
// (frontend/dockerui/config.go, DefaultLocalNameContext).
const mainContext = "context"

// uploads begins the URLs of what a client sends with the build, such as a tar file that it reads
// from standard input. BuildKit reads them from the client and never from the network
// (session/upload/uploadprovider/provider.go, source/http/transport.go).
const uploads = "http://buildkit-session/"

// isUpload reports whether the operation is a download of nothing but what the client uploads.
// BuildKit compares the host as it is written, so another spelling of it is a real download.
func (o Operation) isUpload() bool {
	if o.HTTP == nil || o.Local != "" {
		return false
	}
	id, ok := strings.CutPrefix(o.HTTP.URL, uploads)
	return ok && id != "" && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

func (g *Git) normalize() (Normalized, error) {
	n := Normalized{subject: "the git repository", isFixed: isCommit(g.Ref) || isCommit(g.Checksum)}
	var err error
	n.url, err = readURL(KindGit, "a git repository", g.URL)
	return n, err
}

func (h *HTTP) normalize() (Normalized, error) {
	_, bad := imageref.ParseDigest(h.Checksum)
	n := Normalized{subject: "the download", isFixed: bad == nil}
	var err error
	n.url, err = readURL(KindHTTP, "a download", h.URL)
	return n, err
}

func readURL(k Kind, what, s string) (urlmatch.URL, error) {
	u, err := urlmatch.Parse(s, k.protocol())
	if err != nil {
		return u, fmt.Errorf("%s that can't be checked: %w", what, err)
	}
	return u, nil
}

// checkText bounds a text of an operation.
func checkText(what, s string) error {
	switch {
	case len(s) > imageref.MaxSize:
		return fmt.Errorf("%s of %d bytes, more than %d", what, len(s), imageref.MaxSize)
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("%s with a NUL", what)
	}
	return nil
}

// isCommit reports whether s is the full name of a commit, by SHA-1 or SHA-256. Like BuildKit, it
// accepts no upper-case digits.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
