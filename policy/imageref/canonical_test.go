package imageref

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCanonical: what is read in the short way is read the same in the general one,
// and what comes out of that can be read in the short way.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		"docker.io/library/alpine:3", "docker.io/alpine", "docker.io/localhost/x", "index.docker.io/a/b",
		"x.example:443/a", "x.example:0080/a", "x.example:5000/a@" + digestA,
		"localhost/a:b@" + digestA, "a/b", "X.example/a", "x.example/A", "x.example/a:",
		"x.example/a@sha256:", "x.example/a:-b", "x.example/a..b", "x.example/a__b", "x.example/a/",
		"x..example/a", "x-.example/a", "x.example/*", "*.example/a",
		"x.example/" + strings.Repeat("a", 250), "[::1]/a", "x.example:70000/a",
		"docker.io/" + strings.Repeat("a", 64), ".example/a",
		"x.example/a:1:2", "x.example/a@" + digestA + "@" + digestA, "x.example:1:2/a", "docker.io//a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		short, ok := canonical(s)
		general, err := normalize(s)
		if ok {
			require.NoError(t, err, s)
			require.Equal(t, general, short)
		}
		if err != nil {
			return
		}
		again, ok := canonical(general.String())
		if !ok {
			require.True(t, general.host[0] == '[' || len(general.Name()) > maxCanonicalName ||
				strings.HasPrefix(general.digest.String(), "sha512:"), general.String())
			return
		}
		require.Equal(t, general, again)
	})
}
