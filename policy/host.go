package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	localhost = "localhost"
	httpsPort = 443
)

// isHost reports whether a lower-case first component of a name is read as a
// host rather than as a folder on docker.io (distribution/reference,
// splitDockerDomain).
func isHost(s string) bool {
	return s == localhost || strings.ContainsAny(s, ".:")
}

// normalizeHost returns a registry's host in the form in which hosts are
// compared. It may hold "*" in its name, not in its port or an IPv6 address.
func normalizeHost(s string) (string, error) {
	name, port, err := splitPort(strings.ToLower(s))
	if err != nil {
		return "", err
	}
	if addr, ok := strings.CutPrefix(name, "["); ok {
		if name, err = normalizeIPv6(addr); err != nil {
			return "", err
		}
	} else if strings.Contains(name, ":") {
		return "", fmt.Errorf("the host %s has more than one colon; an IPv6 address needs brackets", quote(s))
	}
	// Without its port, a host such as docker:443 would read as a folder on docker.io.
	if port != 0 && (port != httpsPort || !isHost(name)) {
		return name + ":" + strconv.Itoa(port), nil
	}
	if name == indexHost {
		return dockerHost, nil
	}
	if !isHost(name) {
		return "", fmt.Errorf("the host %s needs a dot or a port; without them it would mean a folder on docker.io", quote(s))
	}
	return name, nil
}

// splitPort splits off the port as a number, so that :0443 is :443; 0 is none.
func splitPort(s string) (string, int, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, 0, nil
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("the host %s needs a port from 1 to 65535", quote(s))
	}
	return s[:i], int(port), nil
}

// normalizeIPv6 gives each address, of which s is what follows the opening
// bracket, one spelling.
func normalizeIPv6(s string) (string, error) {
	s, closed := strings.CutSuffix(s, "]")
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || !closed {
		return "", fmt.Errorf("the host [%s] is not an IPv6 address", printable(s))
	}
	if addr.Is4In6() {
		return "", fmt.Errorf("the host [%s] is an IPv4 address; write %s", s, addr.Unmap())
	}
	return "[" + addr.String() + "]", nil
}
