package policy

import (
	// The digest package knows only algorithms whose hash is linked in.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// MaxReferenceSize is the length in bytes of the longest reference that is read.
const MaxReferenceSize = 1024

const (
	dockerHost  = "docker.io"
	indexHost   = "index.docker.io"
	libraryPath = "library/"
	latestTag   = "latest"
)

// Reference is an image reference in the one form in which policies compare it:
// with its host in lower case, without the port 443 (which every registry client
// uses anyway), with docker.io for index.docker.io, and with the implied
// "docker.io/", "library/" and ":latest" written out. Without this form,
// "DOCKER.IO/x" or "docker.io:443/x" would escape a rule on docker.io/x.
//
// References are comparable with ==. The zero Reference is no reference.
type Reference struct {
	host, path, tag string
	digest          digest.Digest
}

// ParseReference reads an image reference as Docker users write it, for example
// "docker/dockerfile:1" or "reg.example:5000/a/b@sha256:…".
//
// The result's String parses to the same Reference again. A spelling for which
// that can't hold is an error: "DOCKER/dockerfile" names the host "docker", which
// in lower case would read as a folder on docker.io. So is surrounding space, a
// scheme, and a text of more than MaxReferenceSize bytes.
func ParseReference(s string) (Reference, error) {
	switch {
	case s == "":
		return Reference{}, errors.New("the reference is empty; write one like docker/dockerfile:1")
	case len(s) > MaxReferenceSize:
		return Reference{}, fmt.Errorf("the reference has %d bytes, more than %d", len(s), MaxReferenceSize)
	case strings.TrimSpace(s) != s:
		return Reference{}, fmt.Errorf("%s begins or ends with a space", quote(s))
	case strings.Contains(s, "://"):
		scheme, rest, _ := strings.Cut(s, "://")
		return Reference{}, fmt.Errorf("%s has the scheme %s; write %s without it", quote(s), quote(scheme), quote(rest))
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
		return Reference{}, fmt.Errorf("%s is not an image reference: %w", quote(s), plainReferenceError(err))
	}
	host, err := normalizeHost(reference.Domain(named))
	if err != nil {
		return Reference{}, fmt.Errorf("%s: %w", quote(s), err)
	}
	r := Reference{host: host, path: reference.Path(named)}
	if host == dockerHost && !strings.Contains(r.path, "/") {
		r.path = libraryPath + r.path
	}
	if t, ok := named.(reference.Tagged); ok {
		r.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		if r.digest, err = parseDigest(d.Digest().String()); err != nil {
			return Reference{}, fmt.Errorf("%s: %w", quote(s), err)
		}
	}
	if r.tag == "" && r.digest == "" {
		r.tag = latestTag
	}
	// What BuildKit is asked for must be what was judged, however it was spelled.
	if again, err := reference.ParseNormalizedNamed(r.String()); err != nil || again.String() != r.String() {
		return Reference{}, fmt.Errorf("%s is not an unambiguous image reference; write it as host/path:tag", quote(s))
	}
	return r, nil
}

// plainReferenceError drops what the parser quotes of its input, which ours has
// quoted already, safe for a terminal and bounded.
func plainReferenceError(err error) error {
	if strings.Contains(err.Error(), "must be lowercase") {
		return reference.ErrNameContainsUppercase
	}
	if strings.Contains(err.Error(), "64-byte hexadecimal") {
		return errors.New("a name of 64 hexadecimal digits is an image id")
	}
	return err
}

// parseDigest reads a sha256 or sha512 digest.
func parseDigest(s string) (digest.Digest, error) {
	d, err := digest.Parse(s)
	if err != nil || (d.Algorithm() != digest.SHA256 && d.Algorithm() != digest.SHA512) {
		return "", fmt.Errorf("%s is not a digest; write sha256: and 64 lower-case hexadecimal digits, or sha512: and 128", quote(s))
	}
	return d, nil
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

// String returns name[:tag][@digest] in full; it is what BuildKit is asked for.
func (r Reference) String() string { return r.Name() + r.suffix() }

// Familiar returns the reference as Docker users write it, for example
// "docker/dockerfile:1". It parses to the same Reference.
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

// familiarName drops the parts of a normalised name or pattern that Docker users
// leave out.
func familiarName(name string) string {
	short, ok := strings.CutPrefix(name, dockerHost+"/")
	if !ok {
		return name
	}
	if base, ok := strings.CutPrefix(short, libraryPath); ok && !strings.Contains(base, "/") && !strings.Contains(base, "*") {
		return base
	}
	first, _, _ := strings.Cut(short, "/")
	if isHost(first) || strings.Contains(first, "*") {
		return name
	}
	return short
}

// WithDigest returns the reference with the digest d. It fails if d is no valid
// sha256 or sha512 digest, or if the reference has another one.
func (r Reference) WithDigest(d digest.Digest) (Reference, error) {
	d, err := parseDigest(d.String())
	if err != nil {
		return Reference{}, err
	}
	if r.digest != "" && r.digest != d {
		return Reference{}, fmt.Errorf("%s can't get the digest %s beside its own", r, d)
	}
	r.digest = d
	return r, nil
}

// Tagged returns the reference with its tag only. It is the zero Reference if
// there is no tag.
func (r Reference) Tagged() Reference {
	if r.tag == "" {
		return Reference{}
	}
	r.digest = ""
	return r
}

// SameRepository reports whether both references have the same name, whatever
// their tags and digests.
func (r Reference) SameRepository(o Reference) bool {
	return r.host == o.host && r.path == o.path
}
