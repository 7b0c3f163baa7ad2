package harness

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
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
	requests []RegistryRequest
}

// RegistryRequest is one request that a registry answered.
type RegistryRequest struct {
	Method string
	// Path is that of the URL, such as "/v2/library/busybox/manifests/latest".
	Path      string
	UserAgent string
	Status    int
}

// newRegistry starts a registry on a free port of 127.0.0.1. Blobs are kept in
// a temporary folder until close.
func newRegistry() (*Registry, error) {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.RemoveAll(dir)
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

func (r *Registry) close() error {
	return errors.Join(r.server.Close(), os.RemoveAll(r.dir))
}

// Host is the registry's name in references, "localhost:PORT". BuildKit's
// allowlist compares it literally, so use no other spelling of it.
func (r *Registry) Host() string { return r.host }

// Ref returns the full reference of a repository and tag of this registry:
// Ref("docker/dockerfile:1") is "localhost:PORT/docker/dockerfile:1".
func (r *Registry) Ref(repoTag string) string { return r.host + "/" + repoTag }

// Requests returns what was asked for so far, oldest first.
func (r *Registry) Requests() []RegistryRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]RegistryRequest(nil), r.requests...)
}

// BlobsPulled returns the digests of the blobs (config and layers) of repo,
// such as "docker/dockerfile", that anyone but this registry's own methods
// downloaded so far. A frontend of which no blob was pulled did not run, if its
// layers are in no other repository.
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

// Tag copies the manifest or index at src, with all that it refers to, to dst.
// Both are full references in this registry and may be of different
// repositories.
func (r *Registry) Tag(src, dst string) error {
	desc, err := r.get(src)
	if err != nil {
		return fmt.Errorf("tag %s as %s: %w", src, dst, err)
	}
	if desc.MediaType.IsIndex() {
		index, err := desc.ImageIndex()
		if err != nil {
			return err
		}
		return r.pushIndex(dst, index)
	}
	image, err := desc.Image()
	if err != nil {
		return err
	}
	return r.pushImage(dst, image)
}

func (r *Registry) get(ref string) (*remote.Descriptor, error) {
	parsed, err := r.parse(ref)
	if err != nil {
		return nil, err
	}
	return remote.Get(parsed)
}

func (r *Registry) pushIndex(ref string, index v1.ImageIndex) error {
	to, err := r.parse(ref)
	if err != nil {
		return err
	}
	return remote.WriteIndex(to, index)
}

func (r *Registry) pushImage(ref string, image v1.Image) error {
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
		return nil, fmt.Errorf("reference %s is not of the registry %s", ref, r.host)
	}
	return parsed, nil
}

// logged records each request before the answer is complete, so that whoever
// saw an answer finds its request in the log.
func (r *Registry) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		rec := &statusRecorder{ResponseWriter: w}
		rec.onStatus = func(status int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.requests = append(r.requests, RegistryRequest{
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
