package frontend

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/vsa"
)

func TestSourcesOfASummary(t *testing.T) {
	t.Parallel()
	long := "https://example.com/" + strings.Repeat("a", 300)
	digest := "sha256:" + strings.Repeat("1", 64)
	var s Sources
	for _, op := range []*pb.SourceOp{
		{Identifier: "local://context"},
		{Identifier: long + "1"},
		{Identifier: long + "2"},
		{Identifier: "local://\x1b"},
		{Identifier: "local://a/b@" + digest},
		{Identifier: "docker-image://docker.io/library/alpine:3@" + digest},
		{Identifier: "https://u:p@example.com/?q", Attrs: map[string]string{"http.checksum": digest}},
		{Identifier: "git://example.com/a#main", Attrs: map[string]string{"git.checksum": "abc"}},
	} {
		require.Positive(t, s.Add(op))
		require.Zero(t, s.Add(op))
	}
	all, err := s.List()
	require.NoError(t, err)
	require.Equal(t, []vsa.Source{
		{URI: "docker-image://docker.io/library/alpine:3", Digest: digest},
		{URI: "git://example.com/a#main", Digest: "abc"},
		{URI: "https://***@example.com/?***", Digest: digest},
		{URI: long + "1"},
		{URI: long + "2"},
		{URI: `local://\x1b`},
		{URI: "local://a/b@" + digest},
		{URI: "local://context"},
	}, all)
}

// The daemon ignores attributes that aren't of the source's kind, and a forwarded frontend may set
// them.
func TestADigestThatTheDaemonDoesNotVerifyIsInNoSummary(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("1", 64)
	attrs := map[string]string{"git.checksum": digest, "http.checksum": digest, "": digest}
	for name, ignored := range map[string][]string{
		"local://context":                         {"git.checksum", "http.checksum", ""},
		"docker-image://docker.io/library/a:1":    {"git.checksum", "http.checksum", ""},
		"oci-layout://docker.io/library/a:1":      {"git.checksum", "http.checksum", ""},
		"docker-image+blob://docker.io/library/a": {"git.checksum", "http.checksum", ""},
		"https://example.com/a":                   {"git.checksum", ""},
		"http://example.com/a":                    {"git.checksum", ""},
		"git://example.com/a#main":                {"http.checksum", ""},
		"unknown":                                 {"git.checksum", "http.checksum", ""},
	} {
		for _, key := range ignored {
			t.Run(key+" of "+name, func(t *testing.T) {
				t.Parallel()
				var s Sources
				s.Add(&pb.SourceOp{Identifier: name, Attrs: map[string]string{key: attrs[key]}})
				all, err := s.List()
				require.NoError(t, err)
				require.Equal(t, []vsa.Source{{URI: name}}, all)
			})
		}
	}
}

func TestTooManySourcesOfASummary(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ sources, length int }{
		"many":      {2 * vsa.MaxSources, 1},
		"long ones": {2 * maxSourceBytes >> 16, 1 << 16},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s Sources
			for i := range tc.sources {
				s.Add(&pb.SourceOp{
					Identifier: fmt.Sprintf("local://%d%s", i, strings.Repeat("a", tc.length)),
				})
			}
			_, err := s.List()
			require.ErrorContains(t, err, "it reads more than 10000 sources, or ones whose names have more")
			require.LessOrEqual(t, s.size, maxSourceBytes)
		})
	}
}
