package guard

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// inPEM returns a certificate and its key.
func inPEM(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	require.NoError(t, err)
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", c.Certificate[0]), block("PRIVATE KEY", der)
}

// inFiles writes a server's certificate and its clients' authority into a directory.
func inFiles(t *testing.T, dir string, server tls.Certificate, clients authority) CertificateFiles {
	t.Helper()
	files := CertificateFiles{
		Server: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"),
		Clients: filepath.Join(dir, "ca"),
	}
	cert, key := inPEM(t, server)
	write(t, files.Server, cert)
	write(t, files.Key, key)
	write(t, files.Clients, string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: clients.cert.Raw})))
	return files
}

func certificatesOf(t *testing.T, server tls.Certificate, clients authority) *Certificates {
	t.Helper()
	c, err := OpenCertificates(inFiles(t, t.TempDir(), server, clients), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return c
}

// handshaked returns the name of the server to which a client connects, or why it can't.
func handshaked(t *testing.T, c *Certificates, client *tls.Config) (string, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			var secure net.Conn
			if secure, _, err = certified(conn, c.config()); err == nil {
				_, err = secure.Write([]byte("x")) // a client reads tickets before it
			}
		}
		served <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		<-served
		return "", err
	}
	defer conn.Close()
	_, _ = conn.Read(make([]byte, 1))
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, <-served
}

func TestTheLastGoodCertificatesStayInForce(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	server := ca.issue(t, pkix.Name{CommonName: "one"})
	second := ca.issue(t, pkix.Name{CommonName: "two"})
	for name, tc := range map[string]struct {
		change func(t *testing.T, f CertificateFiles)
		want   string // the server after the change
		why    string // in the log, if the change isn't in force
	}{
		"nothing changes": {func(*testing.T, CertificateFiles) {}, "one", ""},
		"another certificate and its key": {func(t *testing.T, f CertificateFiles) {
			inFiles(t, filepath.Dir(f.Server), second, ca)
		}, "two", ""},
		"a directory that is replaced, as Kubernetes does": {func(t *testing.T, f CertificateFiles) {
			dir := filepath.Dir(f.Server)
			require.NoError(t, os.Rename(dir, dir+".old"))
			inFiles(t, dir+".new", second, ca)
			require.NoError(t, os.Symlink(dir+".new", dir))
		}, "two", ""},
		"another certificate without its key": {func(t *testing.T, f CertificateFiles) {
			cert, _ := inPEM(t, second)
			write(t, f.Server, cert)
		}, "one", "private key does not match"},
		"a missing certificate": {func(t *testing.T, f CertificateFiles) {
			require.NoError(t, os.Remove(f.Server))
		}, "one", "no such file"},
		"a key that is a pipe": {func(t *testing.T, f CertificateFiles) {
			require.NoError(t, os.Remove(f.Key))
			require.NoError(t, syscall.Mkfifo(f.Key, 0o600))
		}, "one", "isn't a regular file"},
		"a key that is too large": {func(t *testing.T, f CertificateFiles) {
			write(t, f.Key, strings.Repeat("x", maxCertificates+1))
		}, "one", "more than 4194304 bytes"},
		"an authority that is empty": {func(t *testing.T, f CertificateFiles) {
			write(t, f.Clients, "")
		}, "one", "has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := inFiles(t, filepath.Join(t.TempDir(), "certs"), server, ca)
			log, text := textLog()
			c, err := OpenCertificates(files, log)
			require.NoError(t, err)
			c.last.settle = func() {}
			tc.change(t, files)
			for range 3 {
				got, err := handshaked(t, c, &tls.Config{
					RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue(t, pkix.Name{CommonName: "a"})},
				})
				require.NoError(t, err)
				require.Equal(t, tc.want, got)
			}
			lines := strings.Count(text.String(), "\n")
			switch {
			case tc.why != "":
				require.Contains(t, text.String(), "the last good ones stay in force")
				require.Contains(t, text.String(), tc.why)
				require.NotContains(t, text.String(), "PRIVATE KEY")
				require.Equal(t, 1, lines, "once for a change: %s", text)
			case tc.want == "one":
				require.Zero(t, lines, text)
			default:
				require.Contains(t, text.String(), "new certificates are in force")
				require.Equal(t, 1, lines, text)
			}
		})
	}
	t.Run("a pair of which a program writes one file after the other", func(t *testing.T) {
		t.Parallel()
		files := inFiles(t, t.TempDir(), server, ca)
		log, text := textLog()
		c, err := OpenCertificates(files, log)
		require.NoError(t, err)
		cert, key := inPEM(t, second)
		write(t, files.Server, cert)
		c.last.settle = func() { write(t, files.Key, key) }
		got, err := handshaked(t, c, &tls.Config{
			RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.issue(t, pkix.Name{CommonName: "a"})},
		})
		require.NoError(t, err)
		require.Equal(t, "two", got)
		require.NotContains(t, text.String(), "aren't valid")
	})
	t.Run("an authority that counts no more, for a client that could resume", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		inFiles(t, dir, server, ca)
		c, err := OpenCertificates(inFiles(t, dir, server, ca), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		c.last.settle = func() {}
		client := &tls.Config{
			RootCAs: ca.pool(), ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "127.0.0.1",
			Certificates: []tls.Certificate{ca.issue(t, pkix.Name{CommonName: "a"})},
		}
		_, err = handshaked(t, c, client)
		require.NoError(t, err)
		_, kept := client.ClientSessionCache.Get("127.0.0.1")
		require.False(t, kept, "no ticket to come back with")
		inFiles(t, dir, server, other)
		_, err = handshaked(t, c, client)
		require.Error(t, err)
	})
}

func TestCertificatesHaveToBeValidAtTheStart(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	files := inFiles(t, t.TempDir(), ca.issue(t, pkix.Name{CommonName: "one"}), ca)
	files.Key = files.Clients
	_, err := OpenCertificates(files, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, files.Key)
}
