package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

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

// opener listens on addresses.
type opener struct {
	// certificates returns those of all addresses with TCP, or a usageError.
	certificates func() (*guard.Certificates, error)
}

// open listens on all addresses. A usageError is wrong usage. The log is told when certificates
// change.
func (f flags) open(log *slog.Logger) (all []opened, err error) {
	o := opener{sync.OnceValues(func() (*guard.Certificates, error) {
		c, err := guard.OpenCertificates(guard.CertificateFiles{
			Server: f.cert, Key: f.certKey, Clients: f.clientCerts,
		}, log)
		if err != nil {
			return nil, usageError{fmt.Errorf("the certificates: %w", err)}
		}
		return c, nil
	})}
	if f.cert == "" || f.certKey == "" || f.clientCerts == "" {
		o.certificates = func() (*guard.Certificates, error) {
			return nil, usageError{errors.New("--listen: an address with TCP needs --tls-cert, --tls-key " +
				"and --tls-client-ca, because clients are known by their certificates")}
		}
	}
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	for _, address := range f.listen {
		if address == passedSockets {
			passed, err := o.openPassed()
			all = append(all, passed...)
			if err != nil {
				return all, err
			}
			continue
		}
		one, err := o.openOne(address)
		if err != nil {
			return all, err
		}
		all = append(all, one)
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

func (o opener) openOne(address string) (opened, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok && strings.HasPrefix(path, "/") {
		l, err := openSocket(path)
		return opened{address, l, guard.PeerCredentials()}, err
	}
	hostPort, ok := strings.CutPrefix(address, "tcp://")
	if !ok {
		return opened{}, usageError{fmt.Errorf(
			"--listen: %s is neither unix:///path nor tcp://host:port nor fd://", address)}
	}
	clients, err := o.certified()
	if err != nil {
		return opened{}, err
	}
	l, err := net.Listen("tcp", hostPort)
	return opened{address, l, clients}, err
}

// certified returns how the clients of an address with TCP are identified. Its error is a
// usageError.
func (o opener) certified() (credentials.TransportCredentials, error) {
	c, err := o.certificates()
	if err != nil {
		return nil, err
	}
	return guard.ClientCertificates(c), nil
}

const (
	// firstPassed is the first descriptor that systemd passes.
	firstPassed = 3
	// maxPassed is how many descriptors systemd may pass.
	maxPassed = 16
)

// openPassed returns the sockets that systemd has passed. They stay systemd's: closing a Unix
// socket doesn't remove its file.
func (o opener) openPassed() (all []opened, err error) {
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
		one, err := o.openDescriptor(fd)
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (o opener) openDescriptor(fd int) (opened, error) {
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
		clients, err := o.certified()
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
