package guard

import (
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// Dial returns a connection to the daemon at an address as BuildKit writes it: unix:///path, or
// tcp://host:port. Without TLS, only a host that is this machine is allowed, as an IP address. Dial
// connects when the connection is used, and again whenever it breaks.
func Dial(address string) (*grpc.ClientConn, error) {
	target := address
	if hostPort, ok := strings.CutPrefix(address, "tcp://"); ok {
		host, _, err := net.SplitHostPort(hostPort)
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); !ip.IsLoopback() {
			return nil, fmt.Errorf("%s isn't on this machine, and the connection to the daemon has no "+
				"TLS: use unix:///path, or tcp://127.0.0.1:port", address)
		}
		target = "passthrough:///" + hostPort
	} else if !strings.HasPrefix(address, "unix:///") {
		return nil, fmt.Errorf("%s is neither unix:///path nor tcp://host:port", address)
	}
	return rawcall.Dial(target)
}
