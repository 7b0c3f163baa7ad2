package attached

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/vsa"
)

func TestSkippedHasAFewShortLines(t *testing.T) {
	t.Parallel()
	var f Found
	for range 50 {
		f.skip("a summary", errors.New(strings.Repeat("long\n", 1000)))
	}
	require.Len(t, f.Skipped, maxNotes)
	require.Equal(t, "others, too", f.Skipped[maxNotes-1])
	require.Less(t, len(strings.Join(f.Skipped, "")), 4000)
	require.NotContains(t, strings.Join(f.Skipped, ""), "\n")
}

// A client may push to a registry of its own. The registry client reads the list of referrers to
// its end, and policy-guard serves others too.
func TestAListOfReferrersWithoutEndIsNotRead(t *testing.T) {
	t.Parallel()
	const much = 64 << 20
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/manifests/sha256-") {
			inner.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"schemaVersion":2,"manifests":[{"mediaType":"`)
		for range much >> 20 {
			if _, err := io.WriteString(w, strings.Repeat("a", 1<<20)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `"}],"mediaType":"application/vnd.oci.image.index.v1+json"}`)
	}))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/app"
	ref, err := name.NewTag(repository + ":1")
	require.NoError(t, err)
	image, err := random.Image(10, 1)
	require.NoError(t, err)
	require.NoError(t, remote.Write(ref, image))
	hash, err := image.Digest()
	require.NoError(t, err)
	digest, err := vsa.ParseDigest(hash.String())
	require.NoError(t, err)

	registries := Registries{Registry: lock.NewRegistry(nil)}
	err = registries.Push(t.Context(), []string{repository}, digest, []byte("{}"))
	require.ErrorIs(t, err, lock.LongAnswerError{})
	_, err = registries.Find(t.Context(), repository+":1")
	require.ErrorIs(t, err, lock.LongAnswerError{})
}
