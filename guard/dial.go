package guard

import (
	"fmt"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
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
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithIdleTimeout(0),
		// What a client doesn't read waits at the daemon.
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		// A call that may have reached the daemon isn't made twice.
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	)
}
