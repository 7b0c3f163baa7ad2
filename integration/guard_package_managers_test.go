package integration

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
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
	s.config.Env = []string{
		"SSL_CERT_FILE=" + c.file("ca.pem"), "HTTP_PROXY=" + proxy.URL, "HTTPS_PROXY=" + proxy.URL,
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
		out, err := exec.Command("ldd", program).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for line := range strings.Lines(string(out)) {
			for _, field := range strings.Fields(line) {
				if filepath.IsAbs(field) {
					add(field)
				}
			}
		}
	}
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

// try runs a command that may download and one that may not, under the example policy.
func (s *standIns) try(t *testing.T, image, good, printed, bad string) {
	t.Helper()
	policy := read(t, filepath.Join(env.Tools.Root, "examples", "guard", "downloads.yaml"))
	g := env.Guard(t, s.config, policy, "--image", env.PackMediator(t))
	build := func(command string) harness.Output {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM " + image + "\nRUN " + command + "\n",
		})
		return g.Buildx(t, dir, "build", "--progress=plain", ".")
	}
	require.Contains(t, build(good).RequireSuccess(t).Text(), printed)

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

func TestExamplePolicyForGo(t *testing.T) {
	t.Parallel()
	const base, storage = "https://proxy.golang.org", "https://storage.googleapis.com"
	s := newStandIns(t, "proxy.golang.org", "storage.googleapis.com")
	const module = "example.com/hello@v1.0.0"
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for name, text := range map[string]string{
		"go.mod": "module example.com/hello\n", "hello.go": "package hello // is downloaded\n",
	} {
		w, err := z.Create(module + "/" + name)
		require.NoError(t, err)
		_, err = w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	s.add(base, "/example.com/hello/@v/v1.0.0.info", []byte(`{"Version": "v1.0.0"}`))
	s.add(base, "/example.com/hello/@v/v1.0.0.mod", []byte("module example.com/hello\n"))
	// As the module mirror does for large modules.
	s.redirects[base+"/example.com/hello/@v/v1.0.0.zip"] = storage + "/proxy-golang-org-prod/hello.zip"
	s.files[storage+"/proxy-golang-org-prod/hello.zip"] = packed.Bytes()

	goroot, err := provision.GoEnv(env.Tools.Root, "GOROOT")
	require.NoError(t, err)
	var files []registry.File
	for _, name := range []string{"bin/go", "go.env", "VERSION"} {
		files = append(files, registry.File{
			Path: "/go/" + name, Mode: 0o755, Source: filepath.Join(goroot, name),
		})
	}
	// The checksum database signs what it says, so that nothing can stand in for it.
	image := s.image(t, "go", []string{"GOROOT=/go", "GOTOOLCHAIN=local", "GOSUMDB=off"}, files...)
	const download = "/go/bin/go mod download " + module
	s.try(t, image, download+" && cat /root/go/pkg/mod/"+module+"/hello.go", "is downloaded",
		"GOPROXY=https://"+otherHost+" "+download)
	require.NotEmpty(t, s.got("storage.googleapis.com"))
}

func TestExamplePolicyForNpm(t *testing.T) {
	t.Parallel()
	node, script := found(t, "node"), found(t, "npm")
	folder := filepath.Dir(filepath.Dir(script)) // the script is bin/npm-cli.js
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Skip("this machine's npm isn't in one folder")
	}
	const base = "https://registry.npmjs.org"
	s := newStandIns(t, "registry.npmjs.org")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(harness.TarContext(t, map[string]string{
		"package/package.json": `{"name": "hello", "version": "1.0.0"}`,
		"package/hello.js":     "// is downloaded\n",
	}))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	sum := sha512.Sum512(packed.Bytes())
	s.add(base, "/hello/-/hello-1.0.0.tgz", packed.Bytes())
	s.add(base, "/hello", fmt.Appendf(nil, `{"name": "hello", "dist-tags": {"latest": "1.0.0"},
		"versions": {"1.0.0": {"name": "hello", "version": "1.0.0", "dist": {
			"tarball": "%s/hello/-/hello-1.0.0.tgz", "integrity": "sha512-%s"}}}}`,
		base, base64.StdEncoding.EncodeToString(sum[:])))

	files := withLibraries(t, node)
	require.NoError(t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, registry.File{
				Path: "/npm" + strings.TrimPrefix(path, folder), Mode: 0o644, Source: path,
			})
		}
		return err
	}))
	// Node has a list of authorities of its own.
	image := s.image(t, "npm",
		[]string{"NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"}, files...)
	install := "cd /tmp && " + node + " /npm/bin/npm-cli.js install hello"
	s.try(t, image, install+" && cat node_modules/hello/hello.js", "is downloaded",
		"("+install+" --registry=https://"+otherHost+"/)")
}

func TestExamplePolicyForApt(t *testing.T) {
	t.Parallel()
	apt := found(t, "apt-get")
	const base = "http://deb.debian.org"
	s := newStandIns(t)
	archive := []byte("is downloaded\n")
	index := fmt.Appendf(nil, "Package: hello\nVersion: 1.0\nArchitecture: %s\n"+
		"Filename: pool/hello.deb\nSize: %d\nSHA256: %x\nDescription: hello\nMaintainer: us\n\n",
		runtime.GOARCH, len(archive), sha256.Sum256(archive))
	packages := "main/binary-" + runtime.GOARCH + "/Packages"
	s.add(base, "/debian/pool/hello.deb", archive)
	s.add(base, "/debian/dists/stable/"+packages, index)
	s.add(base, "/debian/dists/stable/Release", fmt.Appendf(nil,
		"Suite: stable\nCodename: stable\nArchitectures: %s\nComponents: main\n"+
			"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n %x %d %s\n",
		runtime.GOARCH, sha256.Sum256(index), len(index), packages))

	programs := []string{apt}
	for _, method := range []string{"http", "store", "copy", "file", "gpgv"} {
		programs = append(programs, "/usr/lib/apt/methods/"+method)
	}
	files := append(withLibraries(t, programs...),
		registry.File{Path: "/var/lib/dpkg/status", Mode: 0o644},
		registry.File{Path: "/etc/apt/apt.conf", Mode: 0o644, Data: fmt.Appendf(nil,
			"APT::Architecture %q;\nAPT::Architectures {%[1]q;};\nAPT::Sandbox::User \"root\";\n",
			runtime.GOARCH)},
		registry.File{
			Path: "/etc/apt/sources.list", Mode: 0o644,
			Data: []byte("deb [trusted=yes] " + base + "/debian stable main\n"),
		},
	)
	tables, err := filepath.Glob("/usr/share/dpkg/*table") // the names of architectures
	require.NoError(t, err)
	for _, table := range tables {
		files = append(files, registry.File{Path: table, Mode: 0o644, Source: table})
	}
	for _, dir := range []string{
		"/var/lib/apt/lists/partial", "/var/cache/apt/archives/partial", "/etc/apt/apt.conf.d",
		"/etc/apt/preferences.d", "/etc/apt/sources.list.d", "/etc/apt/trusted.gpg.d",
	} {
		files = append(files, registry.File{Path: dir, Mode: os.ModeDir | 0o755})
	}
	image := s.image(t, "apt", nil, files...)
	s.try(t, image, "cd /tmp && apt-get update && apt-get download hello && cat hello_*.deb",
		"is downloaded",
		"(sed -i s/deb.debian.org/"+otherHost+"/ /etc/apt/sources.list && apt-get update)")
	require.True(t, slices.Contains(s.got("deb.debian.org"), base+"/debian/pool/hello.deb"))
}
