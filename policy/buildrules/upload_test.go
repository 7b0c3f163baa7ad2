package buildrules

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnUploadIsTheClientsContext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, url string
		want      Kind
	}{
		{"a tar file on standard input", "http://buildkit-session/0r3kzt4p9qw1", KindLocal},
		{"another host", "http://buildkit-session.example/0r3k", KindHTTP},
		{"the host in upper case, which BuildKit looks up", "http://BUILDKIT-SESSION/0r3k", KindHTTP},
		{"the host with a port, which BuildKit looks up", "http://buildkit-session:80/0r3k", KindHTTP},
		{"the host after a user, which BuildKit looks up", "http://u@buildkit-session/0r3k", KindHTTP},
		{"a user of that name", "http://buildkit-session/@evil.example", KindHTTP},
		{"another scheme", "https://buildkit-session/0r3k", KindHTTP},
		{"a name that only a Docker Engine knows", "http://build-context-0r3kzt4p9qw1", KindHTTP},
		{"no id", "http://buildkit-session/", KindHTTP},
		{"a query", "http://buildkit-session/0r3k?x", KindHTTP},
		{"a path below an id", "http://buildkit-session/../x", KindHTTP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := Operation{HTTP: &HTTP{URL: tt.url}}
			k, err := o.Kind()
			require.NoError(t, err)
			require.Equal(t, tt.want, k)
			if tt.want != KindLocal {
				return
			}
			n, err := o.Normalize(k)
			require.NoError(t, err)
			require.Equal(t, "context", n.name)
			require.Equal(t, "the client's context, which it uploads", o.Describe())
		})
	}
	_, err := Operation{HTTP: &HTTP{URL: "http://buildkit-session/a"}, Local: "context"}.Kind()
	require.Error(t, err, "two things at once")
}
