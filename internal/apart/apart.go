// Package apart knows the host by which policy-guard keeps commands apart that the daemon would
// take for the same: the name of a host that a command gets an address for is a part of its key in
// the build cache (solver/llbsolver/ops/exec.go, CacheMap).
package apart

import "strings"

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
	return strings.HasSuffix(strings.TrimSuffix(strings.ToLower(host), "."), Mark)
}

// Keeps reports whether a host and its address are exactly those of the id, which can't be "".
func Keeps(host, ip, id string) bool {
	return id != "" && host == id+Mark && ip == address
}
