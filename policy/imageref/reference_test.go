package imageref

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func TestParse(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("a", 64)
	tests := []struct{ name, in, full, familiar string }{
		{
			"a single name is in the library of docker.io", "alpine", "docker.io/library/alpine:latest",
			"alpine:latest",
		},
		{
			"a folder without a dot is on docker.io", "docker/dockerfile:1", "docker.io/docker/dockerfile:1",
			"docker/dockerfile:1",
		},
		{
			"the host is compared in lower case", "DOCKER.IO/docker/dockerfile:1",
			"docker.io/docker/dockerfile:1", "docker/dockerfile:1",
		},
		{
			"port 443 is dropped", "docker.io:443/docker/dockerfile", "docker.io/docker/dockerfile:latest",
			"docker/dockerfile:latest",
		},
		{
			"port 0443 is 443", "docker.io:0443/docker/dockerfile", "docker.io/docker/dockerfile:latest",
			"docker/dockerfile:latest",
		},
		{
			"the library is implied after the port is dropped too", "Docker.io:443/alpine",
			"docker.io/library/alpine:latest", "alpine:latest",
		},
		{
			"index.docker.io is docker.io", "index.docker.io/docker/dockerfile",
			"docker.io/docker/dockerfile:latest", "docker/dockerfile:latest",
		},
		{
			"index.docker.io is docker.io in upper case with a port", "INDEX.docker.io:443/alpine",
			"docker.io/library/alpine:latest", "alpine:latest",
		},
		{
			"a host without a dot keeps port 443, or it would be a directory on docker.io",
			"docker:443/dockerfile", "docker:443/dockerfile:latest", "docker:443/dockerfile:latest",
		},
		{
			"a host without a dot keeps port 443 in lower case", "DOCKER:0443/dockerfile",
			"docker:443/dockerfile:latest", "docker:443/dockerfile:latest",
		},
		{"localhost is a host", "LOCALHOST/x:1", "localhost/x:1", "localhost/x:1"},
		{
			"localhost loses port 443 and stays a host", "localhost:443/x:1", "localhost/x:1",
			"localhost/x:1",
		},
		{
			"other ports stay", "reg.example:5000/a/b:c", "reg.example:5000/a/b:c",
			"reg.example:5000/a/b:c",
		},
		{
			"ports are compared as numbers", "reg.example:05000/a", "reg.example:5000/a:latest",
			"reg.example:5000/a:latest",
		},
		{
			"an IPv6 host has one spelling", "[FD00:0:0::0001]:443/a", "[fd00::1]/a:latest",
			"[fd00::1]/a:latest",
		},
		{
			"a digest alone has no tag", "alpine@" + digestA, "docker.io/library/alpine@" + digestA,
			"alpine@" + digestA,
		},
		{
			"tag and digest both stay", "alpine:3@" + digestA, "docker.io/library/alpine:3@" + digestA,
			"alpine:3@" + digestA,
		},
		{
			"a folder that looks like a host keeps docker.io in the familiar form",
			"docker.io/evil.example/x", "docker.io/evil.example/x:latest",
			"docker.io/evil.example/x:latest",
		},
		{
			"a folder called localhost keeps docker.io in the familiar form", "docker.io/localhost/x",
			"docker.io/localhost/x:latest", "docker.io/localhost/x:latest",
		},
		{
			"a name of 64 hexadecimal digits keeps its path in the familiar form", "docker.io/" + hex,
			"docker.io/library/" + hex + ":latest", "docker.io/library/" + hex + ":latest",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse(tt.in)
			require.NoError(t, err)
			require.Equal(t, tt.full, r.String())
			require.Equal(t, tt.familiar, r.Familiar())
			for _, s := range []string{r.String(), r.Familiar()} {
				again, err := Parse(s)
				require.NoError(t, err)
				require.Equal(t, r, again)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"an empty text", "", "the reference is empty"},
		{
			"a host that would become a directory on docker.io", "DOCKER/dockerfile",
			`the host "DOCKER" needs a dot or a port`,
		},
		{"a leading space", " docker/dockerfile", "begins or ends with a space"},
		{"a trailing newline", "docker/dockerfile\n", "begins or ends with a space"},
		{"a scheme", "docker-image://docker/dockerfile:1", `write "docker/dockerfile:1" without it`},
		{"an over-long text", strings.Repeat("a/", 600) + "b", "1201 bytes, more than 1024"},
		{"an upper-case path", "docker/Dockerfile", "must be lowercase"},
		{"an image id", strings.Repeat("a", 64), "image id"},
		{
			"a path that is too long with its library", "docker.io:443/" + strings.Repeat("a", 250),
			"not an unambiguous image reference",
		},
		{"port 0", "reg.example:0/x", "port from 1 to 65535"},
		{"a port over 65535", "reg.example:65536/x", "port from 1 to 65535"},
		{"an IPv6 host that is none", "[::1::2]/x", "not an IPv6 address"},
		{"an IPv4 address in IPv6 form", "[::ffff:0102:0304]/x", "write 1.2.3.4"},
		{
			"a digest that is too short", "alpine@sha256:" + strings.Repeat("a", 40),
			"not an image reference",
		},
		{"a digest of another algorithm", "alpine@sha384:" + strings.Repeat("a", 96), "is not a digest"},
		{"a control character", "alp\x1b[31mine", `alp\x1b[31mine`},
		{"a second field", "a b", "not an image reference"},
		{"a trailing dot of the host", "docker.io./docker/dockerfile", "not an image reference"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.in)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
}

func TestReferenceAccessors(t *testing.T) {
	t.Parallel()
	r := mustRef(t, "docker/dockerfile")
	require.Equal(t, "docker.io/docker/dockerfile", r.Name())
	require.Equal(t, "latest", r.Tag())
	require.Empty(t, r.Digest())

	pinned, err := r.WithDigest(digestA)
	require.NoError(t, err)
	require.Equal(t, digest.Digest(digestA), pinned.Digest())
	require.Equal(t, "docker.io/docker/dockerfile:latest@"+digestA, pinned.String())
	require.Empty(t, r.Digest(), "the original is unchanged")

	_, err = pinned.WithDigest(digestA)
	require.NoError(t, err)
	_, err = pinned.WithDigest(digestB)
	require.ErrorContains(t, err, "beside its own")
	_, err = r.WithDigest("sha256:short")
	require.ErrorContains(t, err, "is not a digest")

	require.True(t, r.SameRepository(mustRef(t, "DOCKER.io:443/docker/dockerfile:9@"+digestB)))
	require.False(t, r.SameRepository(mustRef(t, "docker/dockerfile-upstream")))
	require.False(t, r.SameRepository(mustRef(t, "reg.example/docker/dockerfile")))
}

func mustRef(tb testing.TB, s string) Reference {
	tb.Helper()
	r, err := Parse(s)
	require.NoError(tb, err)
	return r
}
