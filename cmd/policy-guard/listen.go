package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"

	"github.com/policy-frontend/policy-frontend/guard"
)

// socketMode lets the owner and the group of the socket connect.
const socketMode = 0o660

// passedSockets is the address of all sockets that systemd passes (sd_listen_fds(3)).
const passedSockets = "fd://"

// opened is an address on which the program listens, and how its clients are identified.
type opened struct {
	address  string
	listener net.Listener
	clients  credentials.TransportCredentials
}

// open listens on all addresses. A usageError is wrong usage.
func (f flags) open() (all []opened, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for _, address := range f.listen {
		if address == passedSockets {
			passed, err := f.openPassed()
			all = append(all, passed...)
			if err != nil {
				return all, err
			}
			continue
		}
		o, err := f.openOne(address)
		if err != nil {
			return all, err
		}
		all = append(all, o)
	}
	return all, nil
}

func closeAll(all []opened) {
	for _, o := range all {
		_ = o.listener.Close()
	}
}

func addresses(all []opened) (names []string) {
	for _, o := range all {
		names = append(names, o.address)
	}
	return names
}

func (f flags) openOne(address string) (opened, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok && strings.HasPrefix(path, "/") {
		l, err := openSocket(path)
		return opened{address, l, guard.PeerCredentials()}, err
	}
	hostPort, ok := strings.CutPrefix(address, "tcp://")
	if !ok {
		return opened{}, usageError{fmt.Errorf(
			"--listen: %s is neither unix:///path nor tcp://host:port nor fd://", address)}
	}
	clients, err := f.certified(address)
	if err != nil {
		return opened{}, err
	}
	l, err := net.Listen("tcp", hostPort)
	return opened{address, l, clients}, err
}

// certified returns how the clients of an address with TCP are identified. Its error is a
// usageError.
func (f flags) certified(address string) (credentials.TransportCredentials, error) {
	if f.cert == "" || f.certKey == "" || f.clientCerts == "" {
		return nil, usageError{fmt.Errorf("--listen: %s needs --tls-cert, --tls-key and "+
			"--tls-client-ca, because clients are known by their certificates", address)}
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.certKey)
	if err != nil {
		return nil, usageError{fmt.Errorf("--tls-cert: %w", err)}
	}
	pem, err := os.ReadFile(f.clientCerts)
	if err != nil {
		return nil, usageError{fmt.Errorf("--tls-client-ca: %w", err)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usageError{errors.New("--tls-client-ca: the file has no certificate")}
	}
	return guard.ClientCertificates(cert, pool), nil
}

const (
	// firstPassed is the first descriptor that systemd passes.
	firstPassed = 3
	// maxPassed is how many descriptors systemd may pass.
	maxPassed = 16
)

// openPassed returns the sockets that systemd has passed. They stay systemd's: closing a Unix
// socket doesn't remove its file.
func (f flags) openPassed() (all []opened, err error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, usageError{errors.New("--listen: systemd has passed no sockets for fd://; start " +
			"the .socket unit")}
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > maxPassed {
		return nil, usageError{fmt.Errorf("--listen: LISTEN_FDS has to be a number from 1 to %d",
			maxPassed)}
	}
	for fd := firstPassed; fd < firstPassed+n; fd++ {
		o, err := f.openDescriptor(fd)
		if err != nil {
			return all, err
		}
		all = append(all, o)
	}
	return all, nil
}

func (f flags) openDescriptor(fd int) (opened, error) {
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))
	defer func() { _ = file.Close() }() // the listener has a copy
	l, err := net.FileListener(file)
	if err != nil {
		return opened{}, fmt.Errorf("the descriptor %d that systemd passed isn't a socket on which one "+
			"can listen: %w", fd, err)
	}
	address := l.Addr().Network() + "://" + l.Addr().String()
	switch l.Addr().(type) {
	case *net.UnixAddr:
		return opened{address, l, guard.PeerCredentials()}, nil
	case *net.TCPAddr:
		clients, err := f.certified(address)
		if err != nil {
			_ = l.Close()
		}
		return opened{address, l, clients}, err
	}
	_ = l.Close()
	return opened{}, fmt.Errorf("the descriptor %d that systemd passed is neither a Unix nor a TCP "+
		"socket", fd)
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
