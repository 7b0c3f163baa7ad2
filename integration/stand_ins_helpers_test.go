package integration

import (
	"crypto/tls"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// otherHost isn't in the example policy. It has all that the real hosts have.
const otherHost = "packages.example"

// standIns are the hosts of package managers. The daemon reaches them by a proxy of its own, which
// answers for all of them. So commands and policies have the real names.
type standIns struct {
	config    harness.DaemonConfig
	files     map[string][]byte // by URL
	redirects map[string]string // from URL to URL

	mu    sync.Mutex
	asked []string // the URLs of all requests
}

// newStandIns starts the proxy, with a certificate for the hosts of HTTPS.
func newStandIns(t *testing.T, https ...string) *standIns {
	t.Helper()
	s := &standIns{files: map[string][]byte{}, redirects: map[string]string{}}
	c := newCertificates(t)
	c.names = append(https, otherHost)
	c.issue(t, "hosts")
	pair, err := tls.LoadX509KeyPair(c.file("hosts.pem"), c.file("hosts.key"))
	require.NoError(t, err)
	secure := httptest.NewUnstartedServer(s)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			tunnel(w, secure.Listener.Addr().String())
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	authority := forDaemon(t, []byte(read(t, c.file("ca.pem"))))
	s.config.Env = []string{
		"SSL_CERT_FILE=" + authority, "HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL,
	}
	return s
}

// tunnel connects the client of a CONNECT with an address.
func tunnel(w http.ResponseWriter, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	w.WriteHeader(http.StatusOK)
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	go func() {
		_, _ = io.Copy(to, buffered) // ends when one of them is closed
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}

func (s *standIns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	url := scheme + "://" + r.Host + r.URL.Path
	s.mu.Lock()
	s.asked = append(s.asked, url)
	s.mu.Unlock()
	if to, ok := s.redirects[url]; ok {
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	data, ok := s.files[url]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// add serves a file at a base URL, and at the host that the policy doesn't allow.
func (s *standIns) add(base, path string, data []byte) {
	s.files[base+path] = data
	scheme, _, _ := strings.Cut(base, "://")
	s.files[scheme+"://"+otherHost+path] = data
}

// got returns the URLs of a host that were asked for.
func (s *standIns) got(host string) (urls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, url := range s.asked {
		if strings.Contains(url, "://"+host+"/") {
			urls = append(urls, url)
		}
	}
	return urls
}

// withLibraries are programs of this machine, with the libraries that they load.
func withLibraries(t *testing.T, programs ...string) (files []registry.File) {
	t.Helper()
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			files = append(files, registry.File{Path: path, Mode: 0o755, Source: path})
		}
	}
	for _, program := range programs {
		add(program)
	}
	out, err := exec.Command("ldd", programs...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "\t") {
			continue // the name of a program
		}
		for _, field := range strings.Fields(line) {
			if filepath.IsAbs(field) {
				add(field)
			}
		}
	}
	return files
}

// tree is what a folder of this machine has, at another path. Links become what they lead to.
// Folders and files of some names are left out.
func tree(t *testing.T, from, to string, without ...string) (files []registry.File) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, pattern := range without {
			if left, _ := filepath.Match(pattern, e.Name()); left && e.IsDir() {
				return fs.SkipDir
			} else if left {
				return nil
			}
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, registry.File{
				Path: to + strings.TrimPrefix(path, from), Mode: info.Mode().Perm(), Source: path,
			})
		}
		return nil
	}))
	return files
}

// image pushes an image with a shell and further files, and returns its name.
func (s *standIns) image(t *testing.T, name string, variables []string, more ...registry.File,
) string {
	t.Helper()
	files, err := registry.BusyboxFiles(env.Tools.Busybox)
	require.NoError(t, err)
	// The daemon adds the authority of its proxy to this file.
	list := registry.File{
		Path: "/etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: []byte("\n"),
	}
	layer, err := registry.PackLayerFile(filepath.Join(t.TempDir(), "layer"),
		append(append(files, list), more...))
	require.NoError(t, err)
	image, err := registry.NewImage(registry.HostPlatform(), v1.Config{
		Env: append([]string{"PATH=/bin:/usr/bin", "HOME=/root"}, variables...),
	}, layer)
	require.NoError(t, err)
	name = "tests/" + name + ":1"
	require.NoError(t, env.Registry.PushImage(env.Registry.Ref(name), image))
	return name
}

// isDownloaded is what commands print of a package that they have got.
const isDownloaded = "is downloaded"

// try runs a command that may download and one that may not, under the example policy. The first
// one prints [isDownloaded].
func (s *standIns) try(t *testing.T, image, good, bad string) {
	t.Helper()
	policy := read(t, filepath.Join(env.Tools.Root, "examples", "guard", "downloads.yaml"))
	g := env.Guard(t, s.config, policy, "--image", env.PackMediator(t))
	build := func(command string) harness.Output {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM " + image + "\nRUN " + command + "\n",
		})
		return g.Buildx(t, dir, "build", "--progress=plain", ".")
	}
	require.Contains(t, build(good).RequireSuccess(t).Text(), isDownloaded)

	o := build(bad+" || true; echo went $((1 + 1))").RequireFailure(t, refusedDownload,
		"://"+otherHost+"/", "build.exec.downloads.allow", "commands may only use package managers")
	require.NotContains(t, o.Text(), "went 2")
	require.Empty(t, s.got(otherHost))
}

// found returns the path of a program of this machine, with all links followed. Without it, the
// test is skipped.
func found(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("this machine has no %s", program)
	}
	path, err = filepath.EvalSymlinks(path)
	require.NoError(t, err)
	return path
}
