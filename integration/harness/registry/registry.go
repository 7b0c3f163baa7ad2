package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is a real registry in this process, without TLS or authentication,
// with the referrers API, and with a log of what it was asked for.
type Registry struct {
	host   string
	server *http.Server
	dir    string

	mu       sync.Mutex
	requests []Request
}

// Request is one request that a registry answered.
type Request struct {
	Method string
	// Path is the path of the URL, such as "/v2/library/busybox/manifests/latest".
	Path      string
	UserAgent string
	Status    int
}

// New starts a registry on 127.0.0.1 at port, or at a free one for port 0. It keeps blobs
// in the directory dir, which [Registry.Close] removes.
func New(dir string, port int) (*Registry, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("start the registry: %w", err)
	}
	r := &Registry{
		host: fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port),
		dir:  dir,
	}
	inner := registry.New(
		registry.WithReferrersSupport(true),
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)),
		registry.Logger(log.New(io.Discard, "", 0)),
	)
	r.server = &http.Server{Handler: r.logged(inner), ReadHeaderTimeout: 10 * time.Second}
	go r.serve(listener)
	return r, nil
}

func (r *Registry) serve(listener net.Listener) {
	if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Printf("registry %s stopped: %v", r.host, err)
	}
}

// ListenHere serves the registry under its own name also in the network namespace of the
// calling thread, until it is closed.
func (r *Registry) ListenHere() error {
	_, port, err := net.SplitHostPort(r.host)
	if err != nil {
		return err
	}
	return r.listenHere(port, nil)
}

// ListenTLSHere serves the registry over TLS at port 443 of 127.0.0.1, in the network
// namespace of the calling thread, until the registry is closed.
func (r *Registry) ListenTLSHere(certificate tls.Certificate) error {
	return r.listenHere("443", &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
	})
}

func (r *Registry) listenHere(port string, secure *tls.Config) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	go r.serve(listener)
	return nil
}

// Close stops the registry and removes its blobs.
func (r *Registry) Close() error {
	return errors.Join(r.server.Close(), os.RemoveAll(r.dir))
}

// Host returns the registry's name in references, "localhost:PORT". BuildKit's allowlist
// compares it literally, so use no other spelling of it.
func (r *Registry) Host() string { return r.host }

// Ref returns the full reference of a repository and tag of this registry:
// Ref("docker/dockerfile:1") is "localhost:PORT/docker/dockerfile:1".
func (r *Registry) Ref(repoTag string) string { return r.host + "/" + repoTag }

// Requests returns what was asked for so far, oldest first.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Request(nil), r.requests...)
}

// BlobsPulled returns the digests of the blobs (config and layers) that were downloaded
// so far from a repository such as "docker/dockerfile". Downloads by this registry's own
// methods don't count. If no blob of a frontend was pulled, and its layers are in no other
// repository, the frontend didn't run.
func (r *Registry) BlobsPulled(repo string) []string {
	var digests []string
	prefix := "/v2/" + repo + "/blobs/"
	for _, q := range r.Requests() {
		own := strings.HasPrefix(q.UserAgent, "go-containerregistry/")
		if !own && q.Method == http.MethodGet && q.Status < 400 && strings.HasPrefix(q.Path, prefix) {
			digests = append(digests, strings.TrimPrefix(q.Path, prefix))
		}
	}
	return digests
}

// Digest returns the digest, "sha256:…", of the manifest or index at a full
// reference in this registry.
func (r *Registry) Digest(ref string) (string, error) {
	parsed, err := r.parse(ref)
	if err != nil {
		return "", err
	}
	desc, err := remote.Head(parsed)
	if err != nil {
		return "", err
	}
	return desc.Digest.String(), nil
}

// Tag copies the manifest or index at src, with all that it refers to, to dst. Both are
// full references in this registry; their repositories may differ.
func (r *Registry) Tag(src, dst string) error {
	to, err := r.parse(dst)
	if err != nil {
		return err
	}
	return r.copy(src, to)
}

// CopyTo copies the image or index at a repository and tag such as "library/busybox:latest" to
// the registry host, under the same name.
func (r *Registry) CopyTo(host, repoTag string) error {
	to, err := name.ParseReference(host + "/" + repoTag)
	if err != nil {
		return err
	}
	return r.copy(r.Ref(repoTag), to)
}

func (r *Registry) copy(src string, to name.Reference) error {
	desc, err := r.get(src)
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", src, to, err)
	}
	if desc.MediaType.IsIndex() {
		index, err := desc.ImageIndex()
		if err != nil {
			return err
		}
		return remote.WriteIndex(to, index)
	}
	image, err := desc.Image()
	if err != nil {
		return err
	}
	return remote.Write(to, image)
}

func (r *Registry) get(ref string) (*remote.Descriptor, error) {
	parsed, err := r.parse(ref)
	if err != nil {
		return nil, err
	}
	return remote.Get(parsed)
}

// PushIndex pushes an index, with all that it refers to, to a full reference in this
// registry.
func (r *Registry) PushIndex(ref string, index v1.ImageIndex) error {
	to, err := r.parse(ref)
	if err != nil {
		return err
	}
	return remote.WriteIndex(to, index)
}

// PushImage pushes an image to a full reference in this registry.
func (r *Registry) PushImage(ref string, image v1.Image) error {
	to, err := r.parse(ref)
	if err != nil {
		return err
	}
	return remote.Write(to, image)
}

func (r *Registry) parse(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if host := parsed.Context().RegistryStr(); host != r.host {
		return nil, fmt.Errorf("reference %s does not belong to the registry %s", ref, r.host)
	}
	return parsed, nil
}

// logged records each request before the answer is complete. Whoever has seen an answer
// finds its request in the log.
func (r *Registry) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		// The registry knows no range without an end, by which a daemon goes on with a download that it
		// has broken off. Without the header, it sends everything, and the daemon leaves out what it has.
		if strings.HasSuffix(q.Header.Get("Range"), "-") {
			q.Header.Del("Range")
		}
		rec := &statusRecorder{ResponseWriter: w}
		rec.onStatus = func(status int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requests = append(r.requests, Request{
				Method: q.Method, Path: q.URL.Path, UserAgent: q.UserAgent(), Status: status,
			})
		}
		next.ServeHTTP(rec, q)
		if !rec.wrote {
			rec.WriteHeader(http.StatusOK)
		}
	})
}

type statusRecorder struct {
	http.ResponseWriter
	onStatus func(int)
	wrote    bool
}

func (s *statusRecorder) WriteHeader(status int) {
	if !s.wrote {
		s.wrote = true
		s.onStatus(status)
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(p []byte) (int, error) {
	if !s.wrote {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(p)
}
