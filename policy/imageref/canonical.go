package imageref

import (
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxCanonicalName is the length in bytes up to which no grammar refuses a name for
// its length.
const maxCanonicalName = 255

// canonical reads a reference that is already in canonical form, the form in which
// frontends ask for images. It takes a tenth of the time of [normalize], which
// matters for a build of many steps. It returns false for any other spelling, and
// when in doubt.
func canonical(s string) (Reference, bool) {
	var r Reference
	name, written, digested := strings.Cut(s, "@")
	if digested {
		if !isSHA256(written) {
			return Reference{}, false
		}
		r.digest = digest.Digest(written)
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		if r.tag = name[colon+1:]; CheckTag(r.tag) != nil {
			return Reference{}, false
		}
		name = name[:colon]
	}
	if r.tag == "" && !digested {
		r.tag = latestTag
	}
	var ok bool
	r.host, r.path, ok = strings.Cut(name, "/")
	if !ok || len(name) > maxCanonicalName || strings.Contains(name, "*") || !canonicalHost(r.host) {
		return Reference{}, false
	}
	if r.host == dockerHost && !strings.Contains(r.path, "/") {
		return Reference{}, false
	}
	for component := range strings.SplitSeq(r.path, "/") {
		if component == "" || !validComponent(component) {
			return Reference{}, false
		}
	}
	return r, true
}

// canonicalHost reports whether a host without brackets is in canonical form.
func canonicalHost(s string) bool {
	if s == "" || s[0] == '[' || !isHost(s) || !validHost(s) {
		return false
	}
	normalized, err := normalizeHost(s)
	return err == nil && normalized == s
}
