package guard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Identity is who makes a call. Two callers with the same identity share their builds.
type Identity string

// caller is what a connection's handshake found out.
type caller struct {
	credentials.CommonAuthInfo
	id      Identity
	account *account // of the connection
}

// AuthType implements [credentials.AuthInfo].
func (caller) AuthType() string { return "policy-guard" }

// callerOf returns who makes the call of a context.
func callerOf(ctx context.Context) (caller, error) {
	p, _ := peer.FromContext(ctx)
	if p != nil {
		if c, ok := p.AuthInfo.(caller); ok && c.id != "" {
			return c, nil
		}
	}
	return caller{}, status.Error(codes.Unauthenticated, "policy-guard: it isn't known who calls")
}

// identify is the server's side of a handshake that finds out who calls.
type identify struct {
	handshake func(net.Conn) (net.Conn, Identity, error)
	level     credentials.SecurityLevel
	protocol  string
	open      *connections // of the guard
}

// PeerCredentials identifies the clients of a Unix socket by their user, as the kernel knows it:
// uid:1000.
func PeerCredentials() credentials.TransportCredentials {
	return &identify{
		handshake: peerUser, level: credentials.NoSecurity, protocol: "unix",
	}
}

// ClientCertificates identifies clients by their verified certificate. The identity is the
// certificate's URI if it has one, else its subject. A certificate with neither, or with several
// URIs, is refused.
//
// The clients need no ALPN: buildx's remote driver offers none, and gRPC's own credentials would
// refuse it.
func ClientCertificates(
	server tls.Certificate, clients *x509.CertPool,
) credentials.TransportCredentials {
	config := &tls.Config{
		Certificates: []tls.Certificate{server},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
	}
	return &identify{
		handshake: func(conn net.Conn) (net.Conn, Identity, error) { return certified(conn, config) },
		level:     credentials.PrivacyAndIntegrity, protocol: "tls",
	}
}

// peerUser returns the user at the other end of a Unix socket.
func peerUser(conn net.Conn) (net.Conn, Identity, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, "", fmt.Errorf("internal: %T isn't a Unix socket", conn)
	}
	rawConn, err := socket.SyscallConn()
	if err != nil {
		return nil, "", err
	}
	var cred *unix.Ucred
	var sockErr error
	if err := rawConn.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, "", err
	}
	if sockErr != nil {
		return nil, "", sockErr
	}
	return conn, Identity(fmt.Sprintf("uid:%d", cred.Uid)), nil
}

// certified does a TLS handshake. The server has bounded its time by a deadline of the connection.
func certified(conn net.Conn, config *tls.Config) (net.Conn, Identity, error) {
	secure := tls.Server(conn, config)
	if err := secure.Handshake(); err != nil {
		return nil, "", err
	}
	id, err := subjectOf(secure.ConnectionState())
	return secure, id, err
}

// subjectOf returns the identity in a verified certificate.
func subjectOf(state tls.ConnectionState) (Identity, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return "", errors.New("the client has no verified certificate")
	}
	leaf := state.PeerCertificates[0]
	switch {
	case len(leaf.URIs) == 1:
		return Identity("uri:" + leaf.URIs[0].String()), nil
	case len(leaf.URIs) > 1:
		return "", errors.New("the client's certificate has several URIs")
	case len(leaf.Subject.Names) == 0:
		return "", errors.New("the client's certificate has neither a URI nor a subject")
	}
	return Identity(fmt.Sprintf("subject:%x", leaf.RawSubject)), nil
}

// ServerHandshake implements [credentials.TransportCredentials].
func (i *identify) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if i.open == nil {
		return nil, nil, errors.New("internal: these credentials are for a guard's server")
	}
	defer i.open.handshakes.enter(conn)()
	secure, id, err := i.handshake(conn)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	open, err := i.open.add(secure, id)
	if err != nil {
		i.open.guard.noteRefusal(id, "a connection", "connection", GuardsRule,
			status.Convert(err).Message())
		refuseConnection(secure, err)
		return nil, nil, err
	}
	info := caller{credentials.CommonAuthInfo{SecurityLevel: i.level}, id, open.account}
	return open, info, nil
}

// countedBy returns credentials whose connections are counted among those.
func (i *identify) countedBy(c *connections) *identify {
	counted := *i
	counted.open = c
	return &counted
}

// ClientHandshake implements [credentials.TransportCredentials]. It always fails: these credentials
// are a server's.
func (i *identify) ClientHandshake(
	context.Context, string, net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("internal: these credentials are a server's")
}

// Info implements [credentials.TransportCredentials].
func (i *identify) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: i.protocol}
}

// Clone implements [credentials.TransportCredentials]. The copy counts the same connections.
func (i *identify) Clone() credentials.TransportCredentials {
	c := *i
	return &c
}

// OverrideServerName implements [credentials.TransportCredentials]. Servers don't call it.
func (i *identify) OverrideServerName(string) error {
	return errors.New("internal: these credentials are a server's")
}
