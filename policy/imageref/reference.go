package imageref

import (
	// The digest package knows only algorithms whose hash is linked in.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// MaxSize is the length in bytes of the longest reference that [Parse] accepts.
const MaxSize = 1024

const (
	dockerHost       = "docker.io"
	indexHost        = "index.docker.io"
	libraryDirectory = "library"
	libraryPath      = libraryDirectory + "/"
	latestTag        = "latest"
)

// Reference is an image reference in canonical form: a name, and a tag, a digest or
// both. References are comparable with ==. The zero Reference refers to nothing.
type Reference struct {
	host, path, tag string
	digest          digest.Digest
}

// Parse reads an image reference as Docker users write it, for example
// "docker/dockerfile:1" or "reg.example:5000/a/b@sha256:…".
//
// [Reference.String] of the result parses to the same Reference. Parse refuses a
// spelling for which that can't hold: "DOCKER/dockerfile" names the host "docker",
// which in lower case would read as a directory on docker.io. It also refuses
// surrounding space, a scheme, and more than [MaxSize] bytes. Errors repeat at most
// a bounded part of s, safe for a terminal.
func Parse(s string) (Reference, error) {
	switch {
	case s == "":
		return Reference{}, errors.New("the reference is empty; write one like docker/dockerfile:1")
	case len(s) > MaxSize:
		return Reference{}, fmt.Errorf("the reference has %d bytes, more than %d", len(s), MaxSize)
	case strings.TrimSpace(s) != s:
		return Reference{}, fmt.Errorf("%s begins or ends with a space", safetext.Quote(s))
	case strings.Contains(s, "://"):
		scheme, rest, _ := strings.Cut(s, "://")
		return Reference{},
			fmt.Errorf("%s has the scheme %s; write %s without it", safetext.Quote(s),
				safetext.Quote(scheme), safetext.Quote(rest))
	}
	if r, ok := canonical(s); ok {
		return r, nil
	}
	return normalize(s)
}

// normalize reads a reference in any spelling.
func normalize(s string) (Reference, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return Reference{},
			fmt.Errorf("%s is not an image reference: %w", safetext.Quote(s), plainReferenceError(err))
	}
	host, err := normalizeHost(reference.Domain(named))
	if err != nil {
		return Reference{}, fmt.Errorf("%s: %w", safetext.Quote(s), err)
	}
	r := Reference{host: host, path: reference.Path(named)}
	if host == dockerHost && !strings.Contains(r.path, "/") {
		r.path = libraryPath + r.path
	}
	if t, ok := named.(reference.Tagged); ok {
		r.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		if r.digest, err = ParseDigest(d.Digest().String()); err != nil {
			return Reference{}, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
	}
	if r.tag == "" && r.digest == "" {
		r.tag = latestTag
	}
	// BuildKit is asked for the String of the reference, so that must mean the same to it.
	if again, err := reference.ParseNormalizedNamed(r.String()); err != nil ||
		again.String() != r.String() {
		return Reference{},
			fmt.Errorf("%s is not an unambiguous image reference; write it as host/path:tag",
				safetext.Quote(s))
	}
	return r, nil
}

// plainReferenceError drops the part of the input that the parser quotes. Our message
// has quoted the input already, bounded and safe for a terminal.
func plainReferenceError(err error) error {
	if strings.Contains(err.Error(), "must be lowercase") {
		return reference.ErrNameContainsUppercase
	}
	if strings.Contains(err.Error(), "64-byte hexadecimal") {
		return errors.New("a name of 64 hexadecimal digits is an image id")
	}
	return err
}

// Name returns host and path, for example "docker.io/docker/dockerfile".
func (r Reference) Name() string {
	if r.host == "" {
		return ""
	}
	return r.host + "/" + r.path
}

// Tag returns the tag as written, "latest" when neither tag nor digest was
// written, and "" when only a digest was.
func (r Reference) Tag() string { return r.tag }

// Digest returns the digest as written, or "".
func (r Reference) Digest() digest.Digest { return r.digest }

// String returns name[:tag][@digest] in canonical form.
func (r Reference) String() string { return r.Name() + r.suffix() }

// Familiar returns the reference as Docker users write it, for example
// "docker/dockerfile:1". [Parse] reads it as the same Reference.
func (r Reference) Familiar() string {
	name := familiarName(r.Name())
	if reference.IdentifierRegexp.FindString(name) == name {
		// 64 hexadecimal digits by themselves would read as an image id.
		name = r.Name()
	}
	return name + r.suffix()
}

func (r Reference) suffix() string {
	var s string
	if r.tag != "" {
		s = ":" + r.tag
	}
	if r.digest != "" {
		s += "@" + r.digest.String()
	}
	return s
}

// familiarName drops the parts of a canonical name or pattern that Docker users omit.
func familiarName(name string) string {
	short, ok := strings.CutPrefix(name, dockerHost+"/")
	if !ok {
		return name
	}
	if base, ok := strings.CutPrefix(short, libraryPath); ok && !strings.Contains(base, "/") &&
		!strings.Contains(base, "*") && !looksLikeHost(base) {
		return base
	}
	first, _, _ := strings.Cut(short, "/")
	if isHost(first) || strings.Contains(first, "*") {
		return name
	}
	return short
}

// WithDigest returns the reference with the digest d. It fails if d isn't a valid
// sha256 or sha512 digest, or if the reference has another digest.
func (r Reference) WithDigest(d digest.Digest) (Reference, error) {
	d, err := ParseDigest(d.String())
	if err != nil {
		return Reference{}, err
	}
	if r.digest != "" && r.digest != d {
		return Reference{}, fmt.Errorf("%s can't get the digest %s beside its own", r, d)
	}
	r.digest = d
	return r, nil
}

// WithName returns the reference with another name and the same tag and digest. It
// fails if name isn't a valid one. The name need not be in canonical form.
func (r Reference) WithName(name string) (Reference, error) { return Parse(name + r.suffix()) }

// Tagged returns the reference without its digest. It returns the zero Reference if
// there is no tag.
func (r Reference) Tagged() Reference {
	if r.tag == "" {
		return Reference{}
	}
	r.digest = ""
	return r
}

// SameRepository reports whether both references have the same name. Tags and digests
// don't count.
func (r Reference) SameRepository(o Reference) bool {
	return r.host == o.host && r.path == o.path
}
