package lock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const (
	// timeout limits one lookup, including its retries.
	timeout = time.Minute
	// maxAnswer bounds an answer of a registry, in bytes. A manifest has at most 4 MiB (distribution
	// spec); a list of referrers can be longer.
	maxAnswer = 16 << 20
)

// Registry looks up tags in their registries.
type Registry struct {
	insecure  []string
	transport http.RoundTripper
	options   []remote.Option
}

// NewRegistry returns a Registry that uses the credentials of the user's Docker
// configuration. insecure lists hosts that may use plain HTTP, with their port as in
// references. Other hosts may not, except on this machine.
func NewRegistry(insecure []string) *Registry {
	return &Registry{
		insecure: insecure, transport: remote.DefaultTransport,
		options: []remote.Option{
			remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("policy-frontend"),
		},
	}
}

// Names returns the options with which a reference in canonical form is read.
func (r *Registry) Names(reference string) []name.Option {
	if host, _, _ := strings.Cut(reference, "/"); slices.Contains(r.insecure, host) {
		return []name.Option{name.Insecure}
	}
	return nil
}

// With returns the options for requests to a registry: the credentials, that no secret is sent
// without TLS, and bounds of its answers.
func (r *Registry) With(ctx context.Context, registry name.Registry) []remote.Option {
	through := encrypted{r.transport, r.insecure, registry.RegistryStr()}
	return append(slices.Clone(r.options), remote.WithContext(ctx), remote.WithTransport(through))
}

// Resolve returns the digest to which the reference's tag points. For a multi-platform
// image, that is the digest of the index.
func (r *Registry) Resolve(ctx context.Context, ref imageref.Reference) (digest.Digest, error) {
	host, _, _ := strings.Cut(ref.Name(), "/")
	options := append(r.Names(ref.Name()), name.StrictValidation)
	tag, err := name.NewTag(ref.Tagged().String(), options...)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	with := r.With(ctx, tag.Registry)
	// Registries that limit pulls don't count a HEAD request as a pull.
	head, err := remote.Head(tag, with...)
	if err == nil {
		return digest.Digest(head.Digest.String()), nil
	}
	if status(err) == 0 || status(err) == http.StatusMethodNotAllowed {
		// The registry may not support HEAD, or may omit the digest from its answer.
		got, getErr := remote.Get(tag, with...)
		if getErr == nil {
			return digest.Digest(got.Digest.String()), nil
		}
		err = getErr
	}
	return "", explain(host, err)
}

// encrypted refuses requests over plain HTTP. Without TLS, anybody on the network path could
// change the digests and read the credentials. It bounds the answers.
//
// A registry on this machine needs no TLS. One elsewhere doesn't get to what else listens here, by
// a redirect or as the place of an upload.
type encrypted struct {
	http.RoundTripper
	insecure []string
	registry string // its host, with its port
}

func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	here := loopback(r.URL.Hostname()) && loopback((&url.URL{Host: e.registry}).Hostname())
	if r.URL.Scheme != "https" && !slices.Contains(e.insecure, r.URL.Host) && !here {
		return nil, fmt.Errorf("%s would be contacted over plain HTTP; to allow that, add "+
			"--insecure-registry %s", r.URL.Host, r.URL.Host)
	}
	answer, err := e.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &bounded{answer.Body, maxAnswer}
	}
	return answer, err
}

// LongAnswerError says that a registry answered with too much.
type LongAnswerError struct{}

// Error implements error.
func (LongAnswerError) Error() string {
	return fmt.Sprintf("the registry answers with more than %d bytes", maxAnswer)
}

// bounded is the body of an answer. The registry client reads some answers to their end.
type bounded struct {
	io.ReadCloser
	left int
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, LongAnswerError{}
	}
	return n, err
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// status returns the HTTP status of a registry's answer, or 0 if there was none.
func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// explain returns an error that says what to do about a registry's refusal.
func explain(host string, err error) error {
	switch status(err) {
	case http.StatusNotFound:
		return fmt.Errorf("the registry %s has no such tag", host)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the registry %s refuses these credentials, or has no such repository; log "+
			"in with docker login %s", host, host)
	case http.StatusTooManyRequests:
		return fmt.Errorf("the registry %s limits the number of requests; log in, or try again later",
			host)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("the registry %s uses plain HTTP; to allow that, add --insecure-registry %s",
			host, host)
	}
	// The registry may have written it.
	text := safetext.OneLine(safetext.Lines(err.Error()))
	return fmt.Errorf("contacting the registry %s: %s", host, text)
}
