package lock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// timeout bounds one look-up, with its retries.
const timeout = time.Minute

// Registry looks tags up in their registries.
type Registry struct {
	insecure []string
	options  []remote.Option
}

// NewRegistry returns a Registry that uses the credentials of the user's docker
// configuration. The insecure hosts, as they stand in references with their port, may
// answer over plain HTTP; others may not, except on this machine.
func NewRegistry(insecure []string) *Registry {
	r := &Registry{insecure: insecure}
	r.options = []remote.Option{
		remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithTransport(encrypted{remote.DefaultTransport, insecure}),
		remote.WithUserAgent("policy-frontend"),
	}
	return r
}

// Resolve returns the digest that the reference's tag points to: of an index if it
// is one.
func (r *Registry) Resolve(ctx context.Context, ref imageref.Reference) (digest.Digest, error) {
	options := []name.Option{name.StrictValidation}
	host, _, _ := strings.Cut(ref.Name(), "/")
	if slices.Contains(r.insecure, host) {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(ref.Tagged().String(), options...)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	with := append(slices.Clone(r.options), remote.WithContext(ctx))
	// A registry that limits pulls doesn't count a HEAD as one.
	head, err := remote.Head(tag, with...)
	if err == nil {
		return digest.Digest(head.Digest.String()), nil
	}
	if status(err) == 0 || status(err) == http.StatusMethodNotAllowed {
		// It may know no HEAD, or leave the digest out of its answer.
		got, getErr := remote.Get(tag, with...)
		if getErr == nil {
			return digest.Digest(got.Digest.String()), nil
		}
		err = getErr
	}
	return "", explain(host, err)
}

// encrypted refuses requests over plain HTTP: nothing else keeps what a tag points
// to, and the credentials, from whoever is in between.
type encrypted struct {
	http.RoundTripper
	insecure []string
}

func (e encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !slices.Contains(e.insecure, r.URL.Host) && !loopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%s is not asked over plain HTTP; add --insecure-registry %s if it has nothing else", r.URL.Host, r.URL.Host)
	}
	return e.RoundTripper.RoundTrip(r)
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// status returns the HTTP status of a registry's answer, 0 if there was none.
func status(err error) int {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}

// explain says what to do about a registry's refusal.
func explain(host string, err error) error {
	switch status(err) {
	case http.StatusNotFound:
		return fmt.Errorf("the registry %s has no such tag", host)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the registry %s shows it to nobody with these credentials, or has no such repository; log in with docker login %s", host, host)
	case http.StatusTooManyRequests:
		return fmt.Errorf("the registry %s takes no more requests for now; log in or try again later", host)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("the registry %s answers over plain HTTP; add --insecure-registry %s", host, host)
	}
	return fmt.Errorf("asking the registry %s: %w", host, err)
}
