package lock

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// serve starts a registry behind a handler, with x/a:1 in it, and returns its host
// and the image's digest.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) (host string, want digest.Digest) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	push := httptest.NewServer(inner)
	t.Cleanup(push.Close)
	image, err := random.Image(16, 1)
	require.NoError(t, err)
	tag, err := name.NewTag(strings.TrimPrefix(push.URL, "http://") + "/x/a:1")
	require.NoError(t, err)
	require.NoError(t, remote.Write(tag, image))
	d, err := image.Digest()
	require.NoError(t, err)
	server := httptest.NewServer(wrap(inner))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), digest.Digest(d.String())
}

func resolve(t *testing.T, ref string) (digest.Digest, error) {
	t.Helper()
	r, err := imageref.Parse(ref)
	require.NoError(t, err)
	return NewRegistry(nil).Resolve(context.Background(), r)
}

// answer is a registry that answers everything with a status.
func answer(status int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(status)
		})
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	host, want := serve(t, func(h http.Handler) http.Handler { return h })
	got, err := resolve(t, host+"/x/a:1")
	require.NoError(t, err)
	require.Equal(t, want, got)

	_, err = resolve(t, host+"/x/a:2")
	require.ErrorContains(t, err, "the registry "+host+" has no such tag")
}

func TestResolveWhereTheRegistryKnowsNoHEAD(t *testing.T) {
	t.Parallel()
	host, want := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	got, err := resolve(t, host+"/x/a:1")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestResolveSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		http.StatusUnauthorized:    "log in with docker login ",
		http.StatusForbidden:       "log in with docker login ",
		http.StatusNotFound:        "has no such tag",
		http.StatusTooManyRequests: "try again later",
		http.StatusTeapot:          "contacting the registry ",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			host, _ := serve(t, answer(status))
			_, err := resolve(t, host+"/x/a:1")
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, host)
		})
	}
}

func TestResolveRepeatsNothingOnWhichATerminalActs(t *testing.T) {
	t.Parallel()
	host, _ := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusMethodNotAllowed)
			_, _ = io.WriteString(w, "\x1b[2K\u009b\nall is well")
		})
	})
	_, err := resolve(t, host+"/x/a:1")
	require.ErrorContains(t, err, "contacting the registry "+host)
	for _, sign := range []string{"\x1b", "\u009b", "\n"} {
		require.NotContains(t, err.Error(), sign)
	}
}

// The docker configuration is the process's, so this test doesn't run beside others.
func TestResolveUsesTheDockerCredentials(t *testing.T) {
	host, want := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	_, err := resolve(t, host+"/x/a:1")
	require.ErrorContains(t, err, "log in with docker login "+host)

	config := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host,
		base64.StdEncoding.EncodeToString([]byte("me:secret")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	got, err := resolve(t, host+"/x/a:1")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A registry that has nothing but plain HTTP is asked only if it is named.
func TestResolveOverPlainHTTP(t *testing.T) {
	t.Parallel()
	host, want := serve(t, func(h http.Handler) http.Handler { return h })
	for _, name := range []string{"reg.test:5000", "10.0.0.1:5000"} {
		ref, err := imageref.Parse(name + "/x/a:1")
		require.NoError(t, err)
		ask := func(insecure ...string) (digest.Digest, error) {
			r := NewRegistry(insecure)
			there := &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, host)
				},
			}
			t.Cleanup(there.CloseIdleConnections)
			r.transport = there
			return r.Resolve(context.Background(), ref)
		}
		_, err = ask()
		require.ErrorContains(t, err, "--insecure-registry "+name)
		got, err := ask(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// answered is a transport that a registry stands behind, whatever its host.
type answered struct{ asked []string }

func (a *answered) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.URL.String())
	return httptest.NewRecorder().Result(), nil
}

// Nothing is sent over plain HTTP, unless the host is named or on this machine. The
// library would try it by itself on hosts of private networks.
func TestPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	const elsewhere, here = "reg.example", "localhost:5000"
	tests := []struct {
		name, registry, url string
		insecure            []string
		sent                bool
	}{
		{"TLS", elsewhere, "https://reg.example/v2/", nil, true},
		{"plain HTTP", elsewhere, "http://reg.example/v2/", nil, false},
		{"plain HTTP in a private network", elsewhere, "http://10.0.0.1:5000/v2/", nil, false},
		{
			"plain HTTP of a named host", "reg.test:5000", "http://reg.test:5000/v2/",
			[]string{"reg.test:5000"},
			true,
		},
		{
			"plain HTTP of another port of it", "reg.test:5000", "http://reg.test/v2/",
			[]string{"reg.test:5000"},
			false,
		},
		{"plain HTTP of localhost", here, "http://localhost:5000/v2/", nil, true},
		{"plain HTTP of the loopback address", "[::1]:5000", "http://127.0.0.2:5000/v2/", nil, true},
		{
			"plain HTTP of a host that begins like it", here, "http://localhost.example/v2/", nil, false,
		},
		{
			"plain HTTP of this machine, as a registry elsewhere wants it", elsewhere,
			"http://localhost:2375/containers", nil, false,
		},
		{
			"plain HTTP of this machine's address, as a named registry wants it", "reg.test:5000",
			"http://127.0.0.1:2375/containers",
			[]string{"reg.test:5000"},
			false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			next := &answered{}
			request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, tt.url, nil)
			require.NoError(t, err)
			response, err := encrypted{next, tt.insecure, tt.registry}.RoundTrip(request)
			require.Equal(t, tt.sent, len(next.asked) == 1)
			if tt.sent {
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
			} else {
				require.ErrorContains(t, err, "--insecure-registry "+request.URL.Host)
			}
		})
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (endless) Close() error { return nil }

func (endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: endless{}}, nil
}

func TestAnAnswerWithoutEndIsCut(t *testing.T) {
	t.Parallel()
	request, err := http.NewRequestWithContext(
		t.Context(), http.MethodGet, "https://reg.example/v2/", nil)
	require.NoError(t, err)
	answer, err := encrypted{endless{}, nil, "reg.example"}.RoundTrip(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	require.ErrorIs(t, err, LongAnswerError{})
	require.LessOrEqual(t, n, int64(maxAnswer))
}
