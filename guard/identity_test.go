package guard

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, subject pkix.Name, uris ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subject, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		require.NoError(t, err)
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// sign returns a certificate made of the template.
func (a authority) sign(t *testing.T, template x509.Certificate) *x509.Certificate {
	t.Helper()
	template.SerialNumber, template.NotAfter = big.NewInt(3), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return leaf
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func TestClientsAreKnownByTheirCertificate(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	d, g := newDaemon(t)
	s := g.Server(ClientCertificates(certificatesOf(t,
		ca.issue(t, pkix.Name{CommonName: "guard"}), ca)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	alice := ca.issue(t, pkix.Name{CommonName: "alice"})
	for name, tc := range map[string]struct {
		config *tls.Config
		works  bool
	}{
		"a certificate and no ALPN, as buildx has": {
			&tls.Config{Certificates: []tls.Certificate{alice}}, true,
		},
		"a certificate and ALPN": {
			&tls.Config{Certificates: []tls.Certificate{alice}, NextProtos: []string{"h2"}}, true,
		},
		"no certificate": {&tls.Config{}, false},
		"a certificate of another authority": {
			&tls.Config{Certificates: []tls.Certificate{
				other.issue(t, pkix.Name{CommonName: "alice"}),
			}}, false,
		},
		"an old version of TLS": {
			&tls.Config{Certificates: []tls.Certificate{alice}, MaxVersion: tls.VersionTLS11}, false,
		},
		"neither a subject nor a URI": {
			&tls.Config{Certificates: []tls.Certificate{ca.issue(t, pkix.Name{})}}, false,
		},
		"two URIs": {
			&tls.Config{Certificates: []tls.Certificate{
				ca.issue(t, pkix.Name{}, "spiffe://a/b", "spiffe://a/c"),
			}}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.RootCAs = ca.pool()
			conn, err := grpc.NewClient("passthrough:///x",
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
					d := tls.Dialer{Config: tc.config}
					return d.DialContext(ctx, "tcp", l.Addr().String())
				}))
			require.NoError(t, err)
			defer conn.Close()
			before := len(d.all())
			_, err = controlapi.NewControlClient(conn).Info(of(t), &controlapi.InfoRequest{})
			require.Equal(t, tc.works, err == nil, "%v", err)
			require.Equal(t, tc.works, len(d.all()) > before)
		})
	}
}

func TestTheIdentityInACertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	read := func(c tls.Certificate) Identity {
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		require.NoError(t, err)
		id, err := subjectOf(tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}},
		})
		require.NoError(t, err)
		return id
	}
	alice := read(ca.issue(t, pkix.Name{CommonName: "alice"}))
	require.Equal(t, alice, read(ca.issue(t, pkix.Name{CommonName: "alice"})), "a renewed certificate")
	other := pkix.Name{CommonName: "alice", Organization: []string{"b"}}
	require.NotEqual(t, alice, read(ca.issue(t, other)))
	require.Equal(t, Identity("uri:spiffe://a/b"),
		read(ca.issue(t, pkix.Name{CommonName: "alice"}, "spiffe://a/b")))
	// A subject can't be made to look like a URI.
	require.NotEqual(t, Identity("uri:spiffe://a/b"),
		read(ca.issue(t, pkix.Name{CommonName: "uri:spiffe://a/b"})))
	_, err := subjectOf(tls.ConnectionState{})
	require.Error(t, err)
	leaf, err := x509.ParseCertificate(
		ca.issue(t, pkix.Name{CommonName: "alice"}, "spiffe://a/b", "spiffe://a/c").Certificate[0])
	require.NoError(t, err)
	_, err = subjectOf(tls.ConnectionState{
		PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}},
	})
	require.ErrorContains(t, err, "several URIs")
}
