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
	"net/url"
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

// issue writes NAME.pem and NAME.key. The first is the authority's own. Others may have URIs.
func (c *certificates) issue(t *testing.T, name string, uris ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"localhost"}, BasicConstraintsValid: true, IsCA: c.cert == nil,
	}
	for _, uri := range uris {
		u, err := url.Parse(uri)
		require.NoError(t, err)
		template.URIs = append(template.URIs, u)
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

// guard starts a guard that also listens with the certificate called guard, and returns the
// address.
func (c *certificates) guard(t *testing.T, policy string) (*harness.Guarded, string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "tcp://" + free.Addr().String()
	require.NoError(t, free.Close())
	return env.Guard(t, harness.DaemonConfig{}, policy, "--listen", address, "--tls-cert",
		c.file("guard.pem"), "--tls-key", c.file("guard.key"), "--tls-client-ca", c.file("ca.pem"),
	), address
}

// createBuilder makes buildx know the guard by the name of a certificate.
func (c *certificates) createBuilder(t *testing.T, g *harness.Guarded, address, name string) {
	t.Helper()
	g.Buildx(t, c.dir, "create", "--name", name, "--driver", "remote", "--driver-opt",
		"cacert="+c.file("ca.pem")+",cert="+c.file(name+".pem")+",key="+c.file(name+".key")+
			",servername=localhost", address).RequireSuccess(t)
}

// flags are those of buildctl with a certificate.
func (c *certificates) flags(address, name string) []string {
	return []string{
		"--addr", address, "--tlsservername", "localhost", "--tlscacert", c.file("ca.pem"),
		"--tlscert", c.file(name + ".pem"), "--tlskey", c.file(name + ".key"),
	}
}

// A client over TCP is known by its certificate. buildx's remote driver offers no ALPN.
func TestGuardServesCertificates(t *testing.T) {
	c := newCertificates(t)
	for _, name := range []string{"guard", "alice", "bob"} {
		c.issue(t, name)
	}
	g, address := c.guard(t, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))

	for _, name := range []string{"alice", "bob"} {
		c.createBuilder(t, g, address, name)
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

	g.Buildctl(t, append(c.flags(address, "bob"), "debug", "info")...).RequireSuccess(t)
	g.Buildctl(t, "--addr", address, "--tlsservername", "localhost", "--tlscacert", c.file("ca.pem"),
		"--timeout", "2", "debug", "info").RequireFailure(t)
}
