package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// certificates are files of an authority, and of certificates that it issued.
type certificates struct {
	dir   string
	names []string // of hosts, which all further certificates have beside localhost
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
}

func newCertificates(t *testing.T) *certificates {
	t.Helper()
	c := &certificates{dir: t.TempDir()}
	c.issue(t, "ca")
	return c
}

// issue writes NAME.pem and NAME.key. The first is the authority's own.
func (c *certificates) issue(t *testing.T, name string, uris ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: append([]string{"localhost"}, c.names...), BasicConstraintsValid: true,
		IsCA: c.cert == nil,
	}
	for _, uri := range uris {
		parsed, err := url.Parse(uri)
		require.NoError(t, err)
		template.URIs = append(template.URIs, parsed)
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

// guard starts a guard that also listens on TCP with the certificate called guard, and returns the
// address. more are further flags.
func (c *certificates) guard(
	t *testing.T, policy string, more ...string,
) (*harness.Guarded, string) {
	t.Helper()
	address := "tcp://" + freeAddress(t)
	return env.Guard(t, harness.DaemonConfig{}, policy, append([]string{
		"--listen", address, "--tls-cert", c.file("guard.pem"), "--tls-key", c.file("guard.key"),
		"--tls-client-ca", c.file("ca.pem"),
	}, more...)...), address
}

// freeAddress returns an address and port that nobody listens on. Its host is one of this machine's
// many: other tests take ports of 127.0.0.1 all the time.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.77.%d.%d:0", mathrand.N(255), mathrand.N(255)))
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
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
	t.Parallel()
	c := newCertificates(t)
	for _, name := range []string{"guard", "alice", "bob"} {
		c.issue(t, name)
	}
	const spiffe = "spiffe://corp.example/ci"
	c.issue(t, "ci", spiffe)
	c.issue(t, "ci2", spiffe)
	g, address := c.guard(t, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))
	for _, name := range []string{"alice", "bob", "ci", "ci2"} {
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

	// A URI is who the client is, whatever its subject.
	file := filepath.Join(t.TempDir(), "metadata.json")
	g.Buildx(t, dir, "build", "--builder=ci", "--metadata-file", file, "-o", t.TempDir(), ".").
		RequireSuccess(t)
	ref := path.Base(strings.Trim(string(harness.ReadMetadata(t, file)["buildx.build.ref"]), `"`))
	require.Contains(t, list("ci2"), ref)
	require.NotContains(t, list("alice"), ref)
	require.Contains(t, g.Log(), "client=uri:"+spiffe)

	g.Buildctl(t, append(c.flags(address, "bob"), "debug", "info")...).RequireSuccess(t)
	g.Buildctl(t, "--addr", address, "--tlsservername", "localhost", "--tlscacert", c.file("ca.pem"),
		"--timeout", "2", "debug", "info").RequireFailure(t)
}

// What is renewed counts for connections that begin later, without a restart.
func TestGuardReadsCertificatesAgain(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	for _, name := range []string{"guard", "alice"} {
		c.issue(t, name)
	}
	g, address := c.guard(t, guardPolicy)
	c.createBuilder(t, g, address, "alice")
	dir := harness.WriteContext(t, dockerfile(""))
	build := func() harness.Output {
		return g.Buildx(t, dir, "build", "--builder=alice", "--progress=plain", ".")
	}
	info := func(ca, client string) harness.Output {
		return g.Buildctl(t, "--addr", address, "--tlsservername", "localhost", "--tlscacert", ca,
			"--tlscert", client+".pem", "--tlskey", client+".key", "--timeout", "5", "debug", "info")
	}
	build().RequireSuccess(t)

	// A new certificate without its key, as between the writing of two files.
	old := read(t, c.file("guard.key"))
	c.issue(t, "guard")
	key := read(t, c.file("guard.key"))
	require.NoError(t, os.WriteFile(c.file("guard.key"), []byte(old), 0o600))
	build().RequireSuccess(t)
	require.Contains(t, g.Log(), "the last good ones stay in force")
	require.NoError(t, os.WriteFile(c.file("guard.key"), []byte(key), 0o600))
	build().RequireSuccess(t)
	require.Equal(t, 1, strings.Count(g.Log(), "new certificates are in force"))

	// Another authority for all of it. A call that began before goes on.
	long := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN [\"sleep\", \"6.2\"]\n",
	})
	p := g.Start(t, g.BuildxCommand(long, "build", "--builder=alice", "--progress=plain", "."))
	require.True(t, harness.Poll(time.Minute, func() bool { return len(processesWith("6.2")) > 0 }),
		"%s", p.Output())
	other := newCertificates(t)
	for _, name := range []string{"guard", "bob"} {
		other.issue(t, name)
	}
	for _, name := range []string{"guard.pem", "guard.key", "ca.pem"} {
		require.NoError(t, os.Rename(other.file(name), c.file(name)))
	}
	info(c.file("ca.pem"), other.file("bob")).RequireSuccess(t)
	info(c.file("ca.pem"), c.file("alice")).RequireFailure(t)
	p.Wait(t).RequireSuccess(t)
	build().RequireFailure(t)
	require.Equal(t, 2, strings.Count(g.Log(), "new certificates are in force"))
}
