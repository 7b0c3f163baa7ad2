package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc/credentials"

	"github.com/policy-frontend/policy-frontend/guard"
)

// socketMode lets the owner and the group of the socket connect.
const socketMode = 0o660

// opened is an address on which the program listens, and how its clients are identified.
type opened struct {
	listener net.Listener
	clients  credentials.TransportCredentials
}

// open listens on all addresses. A usageError is wrong usage.
func (f flags) open() ([]opened, error) {
	var all []opened
	for _, address := range f.listen {
		o, err := f.openOne(address)
		if err != nil {
			for _, other := range all {
				_ = other.listener.Close()
			}
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func (f flags) openOne(address string) (opened, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok && strings.HasPrefix(path, "/") {
		l, err := openSocket(path)
		return opened{l, guard.PeerCredentials()}, err
	}
	hostPort, ok := strings.CutPrefix(address, "tcp://")
	if !ok {
		return opened{}, usageError{fmt.Errorf(
			"--listen: %s is neither unix:///path nor tcp://host:port", address)}
	}
	if f.cert == "" || f.certKey == "" || f.clientCerts == "" {
		return opened{}, usageError{fmt.Errorf("--listen: %s needs --tls-cert, --tls-key and "+
			"--tls-client-ca, because clients are known by their certificates", address)}
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.certKey)
	if err != nil {
		return opened{}, usageError{fmt.Errorf("--tls-cert: %w", err)}
	}
	pem, err := os.ReadFile(f.clientCerts)
	if err != nil {
		return opened{}, usageError{fmt.Errorf("--tls-client-ca: %w", err)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return opened{}, usageError{errors.New("--tls-client-ca: the file has no certificate")}
	}
	l, err := net.Listen("tcp", hostPort)
	return opened{l, guard.ClientCertificates(cert, pool)}, err
}

// openSocket listens on a Unix socket. It replaces a socket on which nobody listens.
func openSocket(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if conn, err := net.Dial("unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("another program listens on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
