package policy

import (
	"strings"

	"github.com/opencontainers/go-digest"
)

// maxCanonicalName is the length in bytes of a name that no grammar refuses for its
// length.
const maxCanonicalName = 255

// canonical reads a reference that is already in the form of Reference.String, as
// frontends write all of theirs: the general way takes ten times as long, which a
// build of many steps would wait for. It is false for any other spelling, and
// where it is in doubt.
func canonical(s string) (Reference, bool) {
	var r Reference
	name, written, digested := strings.Cut(s, "@")
	if digested {
		hex, ok := strings.CutPrefix(written, "sha256:")
		if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
			return Reference{}, false
		}
		r.digest = digest.Digest(written)
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		if r.tag = name[colon+1:]; checkTag(r.tag) != nil {
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

// canonicalHost reports whether a host without brackets is in the form in which
// hosts are compared.
func canonicalHost(s string) bool {
	if s == "" || s[0] == '[' || !isHost(s) || !validHost(s) {
		return false
	}
	normalized, err := normalizeHost(s)
	return err == nil && normalized == s
}
