package guard

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Identity is who makes a call. Two callers with the same identity share their builds.
type Identity string

// caller is what a connection's handshake found out.
type caller struct {
	credentials.CommonAuthInfo
	id Identity
	// client has the names by which a policy knows the caller. What belongs to whom doesn't depend on
	// them.
	client clients.Client
	conn   *counted
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
	handshake func(net.Conn) (net.Conn, caller, error)
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
// certificate's URI if it has one, else its subject. A certificate with neither, with several URIs,
// or with one that isn't in its normal form, is refused. Each connection is served by the
// certificates that are in force as it begins.
//
// The clients need no ALPN: buildx's remote driver offers none, and gRPC's own credentials would
// refuse it.
func ClientCertificates(c *Certificates) credentials.TransportCredentials {
	return &identify{
		handshake: func(conn net.Conn) (net.Conn, caller, error) { return certified(conn, c.config()) },
		level:     credentials.PrivacyAndIntegrity, protocol: "tls",
	}
}

// peerUser returns the user at the other end of a Unix socket.
func peerUser(conn net.Conn) (net.Conn, caller, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, caller{}, fmt.Errorf("internal: %T isn't a Unix socket", conn)
	}
	rawConn, err := socket.SyscallConn()
	if err != nil {
		return nil, caller{}, err
	}
	var cred *unix.Ucred
	var client clients.Client
	var sockErr error
	if err := rawConn.Control(func(fd uintptr) {
		cred, sockErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if sockErr == nil {
			client, sockErr = userAt(fd, cred)
		}
	}); err != nil {
		return nil, caller{}, err
	}
	if sockErr != nil {
		return nil, caller{}, sockErr
	}
	return conn, caller{id: Identity(fmt.Sprintf("uid:%d", cred.Uid)), client: client}, nil
}

// certified does a TLS handshake. The server has bounded its time by a deadline of the connection.
func certified(conn net.Conn, config *tls.Config) (net.Conn, caller, error) {
	secure := tls.Server(conn, config)
	if err := secure.Handshake(); err != nil {
		return nil, caller{}, err
	}
	state := secure.ConnectionState()
	id, err := subjectOf(state)
	if err != nil {
		return nil, caller{}, err
	}
	return secure, caller{id: id, client: namesIn(state.PeerCertificates[0])}, nil
}

// subjectOf returns the identity in a verified certificate.
func subjectOf(state tls.ConnectionState) (Identity, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return "", errors.New("the client has no verified certificate")
	}
	leaf := state.PeerCertificates[0]
	switch {
	case len(leaf.URIs) == 1:
		written := writtenURIs(leaf)
		if len(written) != 1 || !isNormal(written[0], leaf.URIs[0]) {
			return "", errors.New("the client's certificate has its URI in a form that isn't the normal " +
				"one: with an upper-case scheme or host, an empty fragment, a segment . or .., or an " +
				"escape that isn't needed")
		}
		return Identity("uri:" + written[0]), nil
	case len(leaf.URIs) > 1:
		return "", errors.New("the client's certificate has several URIs")
	case len(leaf.Subject.Names) == 0:
		return "", errors.New("the client's certificate has neither a URI nor a subject")
	}
	return Identity(fmt.Sprintf("subject:%x", leaf.RawSubject)), nil
}

// isNormal reports whether a URI is written in its normal form (RFC 3986, section 6.2.2). Other
// forms of it would be the same client by one reading, and another client by the next. A policy
// knows none of them by name.
func isNormal(written string, u *url.URL) bool {
	if written != u.String() || u.Host != strings.ToLower(u.Host) { // which has a lower-case scheme
		return false
	}
	for _, segment := range strings.Split(u.EscapedPath(), "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	for _, escape := range escapes.FindAllString(written, -1) {
		b, err := hex.DecodeString(escape[1:])
		if err != nil || escape != strings.ToUpper(escape) || unreserved.Match(b) {
			return false
		}
	}
	return true
}

var (
	escapes = regexp.MustCompile(`%..`)
	// unreserved matches a character that needs no escape (RFC 3986, section 2.3).
	unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]$`)
)

// ServerHandshake implements [credentials.TransportCredentials].
func (i *identify) ServerHandshake(
	conn net.Conn,
) (_ net.Conn, _ credentials.AuthInfo, err error) {
	if i.open == nil {
		return nil, nil, errors.New("internal: these credentials are for a guard's server")
	}
	var open *counted
	leave := i.open.handshakes.enter(conn)
	defer func() {
		switch {
		case !leave() && err == nil:
			err = errEvicted
			_ = open.Close()
		case err != nil && open != nil:
			_ = open.Close()
		case err != nil:
			_ = conn.Close()
		}
	}()
	defer i.open.guard.contain("", "a connection", &err)
	secure, who, err := i.handshake(conn)
	if err != nil {
		return nil, nil, err
	}
	if open, err = i.open.add(secure, who.id); err != nil {
		i.open.guard.noteRefusal(who.id, "a connection", "connection", GuardsRule,
			status.Convert(err).Message())
		refuseConnection(secure, err)
		return nil, nil, err
	}
	who.CommonAuthInfo = credentials.CommonAuthInfo{SecurityLevel: i.level}
	who.conn = open
	return open, who, nil
}

// errEvicted is the error of a connection that was closed for a newer one as it said who it is.
var errEvicted = errors.New("too many connections haven't said who they are")

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
