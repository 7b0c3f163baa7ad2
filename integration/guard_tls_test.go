package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// certificates are files of an authority, and of certificates that it issued.
type certificates struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	c := &certificates{dir: t.TempDir()}
	c.issue(t, "ca")
	return c
}

// issue writes NAME.pem and NAME.key. The first is the authority's own.
func (c *certificates) issue(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"}, BasicConstraintsValid: true, IsCA: c.cert == nil,
	}
	parent, signer := c.cert, c.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	if c.cert == nil {
		c.key = key
		c.cert, err = x509.ParseCertificate(der)
		require.NoError(t, err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	for ext, block := range map[string]*pem.Block{
		".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		require.NoError(t, os.WriteFile(c.file(name+ext), pem.EncodeToMemory(block), 0o600))
	}
}

func (c *certificates) file(name string) string { return filepath.Join(c.dir, name) }

// A client over TCP is known by its certificate. buildx's remote driver offers no ALPN.
func TestGuardServesCertificates(t *testing.T) {
	c := newCertificates(t)
	for _, name := range []string{"guard", "alice", "bob"} {
		c.issue(t, name)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "tcp://" + free.Addr().String()
	require.NoError(t, free.Close())
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--listen", address, "--tls-cert",
		c.file("guard.pem"), "--tls-key", c.file("guard.key"), "--tls-client-ca", c.file("ca.pem"))
	dir := harness.WriteContext(t, dockerfile(""))

	for _, name := range []string{"alice", "bob"} {
		g.Buildx(t, dir, "create", "--name", name, "--driver", "remote", "--driver-opt",
			"cacert="+c.file("ca.pem")+",cert="+c.file(name+".pem")+",key="+c.file(name+".key")+
				",servername=localhost", address).RequireSuccess(t)
	}
	out := t.TempDir()
	g.Buildx(t, dir, "build", "--builder=alice", "-o", out, ".").RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	list := func(name string) string {
		return g.Buildx(t, dir, "history", "ls", "--builder="+name, "--format", "{{.Ref}}").
			RequireSuccess(t).Stdout
	}
	require.NotEmpty(t, list("alice"))
	require.Empty(t, list("bob"))

	by := func(args ...string) harness.Output {
		to := []string{"--addr", address, "--tlsservername", "localhost"}
		return g.Buildctl(t, append(to, args...)...)
	}
	by("--tlscacert", c.file("ca.pem"), "--tlscert", c.file("bob.pem"), "--tlskey", c.file("bob.key"),
		"debug", "info").RequireSuccess(t)
	by("--tlscacert", c.file("ca.pem"), "--timeout", "2", "debug", "info").RequireFailure(t)
}
