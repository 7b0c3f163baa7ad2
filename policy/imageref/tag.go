package imageref

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxTag is the length in bytes of the longest tag (OCI distribution specification,
// "Pulling manifests").
const maxTag = 128

// CheckTag returns an error if s can't be a tag.
func CheckTag(s string) error {
	if err := CheckTagGlob(s); err != nil {
		return err
	}
	if strings.Contains(s, "*") {
		return fmt.Errorf("%s has a *; write the tag out", safetext.Quote(s))
	}
	return nil
}

// CheckTagGlob returns an error if s can't be a tag in which "*" stands for any run
// of characters.
func CheckTagGlob(s string) error {
	switch {
	case s == "":
		return errors.New("the tag is empty")
	case len(s) > maxTag:
		return fmt.Errorf("the tag has %d characters; no tag has more than %d", len(s), maxTag)
	case s[0] == '.' || s[0] == '-':
		return fmt.Errorf("%s begins with %q; no tag does", safetext.Quote(s), s[0])
	}
	for _, r := range s {
		if !isTagCharacter(r) && r != '*' {
			return fmt.Errorf(
				"%s has the character %s, which no tag can have; write tags or globs like 1.*, one per entry",
				safetext.Quote(s), safetext.Quote(string(r)))
		}
	}
	return nil
}

// isTagCharacter reports whether tags can contain r. Names can contain the same
// characters, "/" and ":".
func isTagCharacter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' ||
		r == '_' || r == '-'
}

// ParseDigest reads a sha256 or sha512 digest.
func ParseDigest(s string) (digest.Digest, error) {
	if isSHA256(s) {
		return digest.Digest(s), nil
	}
	d, err := digest.Parse(s)
	if err != nil || (d.Algorithm() != digest.SHA256 && d.Algorithm() != digest.SHA512) {
		return "",
			fmt.Errorf(
				"%s is not a digest; write sha256: and 64 lower-case hexadecimal digits, or sha512: and 128",
				safetext.Quote(s))
	}
	return d, nil
}

// isSHA256 reports whether s is a sha256 digest. It spares nearly all digests the
// regular expression of [digest.Parse].
func isSHA256(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}
