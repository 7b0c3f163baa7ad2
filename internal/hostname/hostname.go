// Package hostname splits and normalises the host of an image reference or a URL.
package hostname

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// SplitPort splits off the port as a number, so ":0443" is the port 443. The port is
// 0 if s has none.
func SplitPort(s string) (name string, port int, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, 0, nil
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("the host %s needs a port from 1 to 65535", safetext.Quote(s))
	}
	return s[:i], int(n), nil
}

// NormalizeIPv6 returns an IPv6 address in brackets in its one canonical spelling.
// The argument s is the part after the opening bracket; it must end in "]".
func NormalizeIPv6(s string) (string, error) {
	s, closed := strings.CutSuffix(s, "]")
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || !closed {
		return "", fmt.Errorf("the host [%s] is not an IPv6 address", safetext.Printable(s))
	}
	if addr.Is4In6() {
		return "", fmt.Errorf("the host [%s] is an IPv4 address; write %s", s, addr.Unmap())
	}
	return "[" + addr.String() + "]", nil
}
