package guard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
)

// minKey is the length of a key in bytes.
const minKey = 32

// names makes the names that the daemon sees from those that clients choose. The daemon has one
// space of names for all clients.
type names struct{ key []byte }

// clientName is the form of a build id or a session id that a client may choose. BuildKit's own
// clients take 25 letters and digits. A colon is not among the characters: the daemon reads "x:ID"
// as the session ID (session/manager.go, Get).
var clientName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// ref returns the daemon's name of a build: a mark of the identity that nobody without the key can
// compute, and the client's name. No two identities have the same mark, so a client can't name the
// build of another one.
func (n names) ref(who Identity, client string) (string, error) {
	if !clientName.MatchString(client) {
		return "", errors.New("the build id has other characters than letters, digits, _ and -, or " +
			"has more than 128")
	}
	return n.mark(who) + client, nil
}

// clientRef undoes ref. ok is false for the build of another identity.
func (n names) clientRef(who Identity, ref string) (client string, ok bool) {
	client, ok = strings.CutPrefix(ref, n.mark(who))
	return client, ok && clientName.MatchString(client)
}

const (
	// markDigits is how many hexadecimal digits of a mark tell identities apart, and ownDigits how
	// many tell that this guard has made it.
	markDigits = 24
	ownDigits  = 8
)

func (n names) mark(who Identity) string {
	digits := n.derive("ref", string(who))[:markDigits]
	return digits + n.own(digits) + "-"
}

func (n names) own(digits string) string { return n.derive("mark", digits)[:ownDigits] }

// isRef reports whether a text with the form of a daemon's name of a build is one, of any identity.
// Other texts have that form too, such as the name of a file with a digest.
func (n names) isRef(text string) bool {
	return text[markDigits:markDigits+ownDigits] == n.own(text[:markDigits])
}

// sharedKey returns the daemon's form of the key by which a client's sessions share what they have
// sent. The daemon gives any client the files that another one sent under the same key, if name,
// size and time are the same (source/local/source.go).
func (n names) sharedKey(who Identity, client string) string {
	return n.derive("shared key", string(who), client)
}

// cacheMounts returns the namespace of the identity's cache mounts, or of those for some builds of
// it.
func (n names) cacheMounts(who Identity, builds ...string) string {
	return n.derive(append([]string{"cache mounts", string(who)}, builds...)...)
}

// derive returns a keyed hash of the parts, which differs for other parts.
func (n names) derive(parts ...string) string {
	h := hmac.New(sha256.New, n.key)
	for _, p := range parts {
		sum := sha256.Sum256([]byte(p))
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}
