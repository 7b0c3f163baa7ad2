package integration

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// downloads is a daemon's outside world, from which commands download: a server with HTTP and one
// with HTTPS, and an image with a program that downloads.
type downloads struct {
	config      harness.DaemonConfig // of a daemon that trusts the server with HTTPS
	http, https string               // URLs without a slash at the end
	image       string

	mu    sync.Mutex
	asked []string // the hosts and paths of all requests
}

// newDownloads starts the servers.
func newDownloads(tb testing.TB) *downloads {
	tb.Helper()
	d := &downloads{image: "tests/downloader:1"}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asked = append(d.asked, r.Host+r.URL.Path)
		d.mu.Unlock()
		if to, ok := strings.CutPrefix(r.URL.Path, "/allowed/redirect/"); ok {
			http.Redirect(w, r, "http://"+to, http.StatusFound)
			return
		}
		if r.URL.Path == "/allowed/100MB" {
			w.Header().Set("Content-Length", "100000000")
			for part := make([]byte, 1_000_000); ; {
				if _, err := w.Write(part); err != nil {
					return // the length is reached, or the client is gone
				}
			}
		}
		_, _ = w.Write([]byte("served\n"))
	})
	plain, secure := httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	tb.Cleanup(plain.Close)
	tb.Cleanup(secure.Close)
	d.http, d.https = plain.URL, secure.URL
	authority := pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	d.config.Env = []string{"SSL_CERT_FILE=" + forDaemon(tb, authority)}

	files, err := registry.BusyboxFiles(env.Tools.Busybox)
	require.NoError(tb, err)
	layer, err := registry.PackLayer(append(files,
		registry.File{Path: "/bin/downloader", Mode: 0o755, Source: buildStatic(tb, "downloader")},
		// The daemon adds its own authority to this file.
		registry.File{Path: "/etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: []byte("\n")},
		registry.File{Path: "/authority.pem", Mode: 0o644, Data: authority},
	))
	require.NoError(tb, err)
	image, err := registry.NewImage(registry.HostPlatform(), v1.Config{Env: []string{"PATH=/bin"}},
		layer)
	require.NoError(tb, err)
	require.NoError(tb, env.Registry.PushImage(env.Registry.Ref(d.image), image))
	return d
}

// forDaemon writes a file that a rootless daemon can read, too.
func forDaemon(tb testing.TB, data []byte) string {
	tb.Helper()
	dir, err := env.TempDir()
	require.NoError(tb, err)
	require.NoError(tb, os.Chmod(dir, 0o755))
	file := filepath.Join(dir, "file")
	require.NoError(tb, os.WriteFile(file, data, 0o644))
	return file
}

// dockerfile is a build with commands.
func (d *downloads) dockerfile(t *testing.T, commands ...string) string {
	t.Helper()
	text := "FROM " + d.image + " AS commands\n"
	for _, c := range commands {
		text += "RUN " + c + "\n"
	}
	return harness.WriteContext(t, map[string]string{"Dockerfile": text})
}

// got reports whether a request for a path arrived at the servers.
func (d *downloads) got(path string) bool { return d.count(path) > 0 }

// count returns how many requests for a path arrived at the servers.
func (d *downloads) count(path string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, asked := range d.asked {
		if strings.HasSuffix(asked, path) {
			n++
		}
	}
	return n
}
