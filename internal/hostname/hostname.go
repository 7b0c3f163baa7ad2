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

// IsAmbiguousIPv4 reports whether some programs read a name in lower case as an IPv4 address that
// isn't written in four plain numbers, such as 127.1 or 0x7f.0.0.1 (https://url.spec.whatwg.org,
// ends-in-a-number checker). No domain has such a name. It is false for a name with a star and for
// an IPv6 address in brackets.
func IsAmbiguousIPv4(name string) bool {
	if strings.ContainsAny(name, "*[") {
		return false
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	hex, isHex := strings.CutPrefix(last, "0x")
	if isHex && strings.Trim(hex, "0123456789abcdef") != "" ||
		!isHex && (last == "" || strings.Trim(last, "0123456789") != "") {
		return false
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}
