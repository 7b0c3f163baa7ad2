// Package apart knows the host by which policy-guard keeps commands apart that the daemon would
// take for the same: the name of a host that a command gets an address for is a part of its key in
// the build cache (solver/llbsolver/ops/exec.go, CacheMap).
package apart

import (
	"bytes"
	"strings"
)

const (
	// Mark ends the names of these hosts. No network has any: the domain is reserved (RFC 6761).
	Mark = ".policy-guard.invalid"
	// address is that of each such host. No command has a use for it.
	address = "127.0.0.1"
	// idLength is the number of hexadecimal digits of an id.
	idLength = 32
)

// ID returns the id that begins a digest of 32 or more hexadecimal digits.
func ID(digest string) string { return digest[:idLength] }

// Is reports whether an id has the form that [ID] gives it.
func Is(id string) bool {
	return len(id) == idLength && strings.Trim(id, "0123456789abcdef") == ""
}

// Option returns the entry of docker/dockerfile's option add-hosts that adds the host with the id.
func Option(id string) string { return id + Mark + "=" + address }

// AddTo returns a value of the option add-hosts with the host of the id at its end. It is there
// once if the value has it already.
func AddTo(hosts, id string) string {
	if hosts = RemoveFrom(hosts, id); hosts != "" {
		hosts += ","
	}
	return hosts + Option(id)
}

// RemoveFrom undoes [AddTo].
func RemoveFrom(hosts, id string) string {
	if hosts == Option(id) {
		return ""
	}
	return strings.TrimSuffix(hosts, ","+Option(id))
}

// IsReserved reports whether only policy-guard may give an address to a host of this name.
func IsReserved(host string) bool {
	name := strings.TrimSuffix(host, ".")
	return len(name) >= len(Mark) && strings.EqualFold(name[len(name)-len(Mark):], Mark)
}

// MayHave reports whether bytes have the end of such a name in them, in upper or lower case. It
// copies none of them: a definition has megabytes.
func MayHave(b []byte) bool {
	mark := []byte(Mark)
	for {
		at := bytes.IndexByte(b, mark[0])
		if at < 0 || len(b)-at < len(mark) {
			return false
		}
		if bytes.EqualFold(b[at:at+len(mark)], mark) {
			return true
		}
		b = b[at+1:]
	}
}

// Keeps reports whether a host and its address are exactly those of the id, which can't be "".
func Keeps(host, ip, id string) bool {
	return id != "" && host == id+Mark && ip == address
}
