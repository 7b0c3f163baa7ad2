package imageref

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/hostname"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	localhost = "localhost"
	httpsPort = 443
)

// HasHost reports whether a name or pattern, as it is written, begins with a host.
// "corp.example/x" and "localhost/x" do; "docker/dockerfile" doesn't.
func HasHost(s string) bool {
	host, _, ok := strings.Cut(s, "/")
	return ok && isHost(strings.ToLower(host))
}

// isHost reports whether a lower-case first component of a name is a host rather
// than a directory on docker.io (distribution/reference, splitDockerDomain).
func isHost(s string) bool {
	return s == localhost || strings.ContainsAny(s, ".:")
}

// normalizeHost returns a registry's host in its canonical form. Its name may contain
// "*"; its port and an IPv6 address may not.
func normalizeHost(s string) (string, error) {
	name, port, err := hostname.SplitPort(strings.ToLower(s))
	if err != nil {
		return "", err
	}
	if addr, ok := strings.CutPrefix(name, "["); ok {
		if name, err = hostname.NormalizeIPv6(addr); err != nil {
			return "", err
		}
	} else if strings.Contains(name, ":") {
		return "",
			fmt.Errorf("the host %s has more than one colon; an IPv6 address needs brackets",
				safetext.Quote(s))
	}
	if hostname.IsAmbiguousIPv4(name) {
		return "", fmt.Errorf("the host %s can be read as another IPv4 address; write four numbers from "+
			"0 to 255 without leading zeros", safetext.Quote(s))
	}
	// Without its port, a host such as docker:443 would read as a directory on docker.io.
	if port != 0 && (port != httpsPort || !isHost(name)) {
		return name + ":" + strconv.Itoa(port), nil
	}
	if name == indexHost {
		return dockerHost, nil
	}
	if !isHost(name) {
		return "",
			fmt.Errorf("the host %s needs a dot or a port; without them it would mean a directory on docker.io",
				safetext.Quote(s))
	}
	return name, nil
}
