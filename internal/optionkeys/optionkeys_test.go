package optionkeys

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamedContext(t *testing.T) {
	for _, tc := range []struct{ name, key, want string }{
		{"a plain name", "context:base", "base"},
		{"a name for a platform", "context:base::linux/amd64", "base"},
		{"a platform with a version of its system", "context:base::windows(10.0.1)/amd64", "base"},
		{"a reference", "context:reg.example:5000/a/b:1@sha256:0", "reg.example:5000/a/b:1@sha256:0"},
		{
			"a reference for a platform", "context:reg.example:5000/a/b:1::linux/arm/v7",
			"reg.example:5000/a/b:1",
		},
		{"an IPv6 host", "context:[2001:db8::1]:5000/a:1", "[2001:db8::1]:5000/a:1"},
		{
			"an IPv6 host for a platform", "context:[2001:db8::1]:5000/a:1::linux/amd64",
			"[2001:db8::1]:5000/a:1",
		},
		{"an IPv6 host of colons", "context:[::]/a::linux/amd64", "[::]/a"},
		{"an IPv6 host that has no end", "context:[::1/a", "["},
		{"a bracket after the name", "context:base::x]", "base"},
		{"two separators", "context:base::x::linux/amd64", "base"},
		{"a separator at the end", "context:base::", "base"},
		{"no name", "context:", ""},
		{"no name for a platform", "context:::linux/amd64", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name, ok := NamedContext(tc.key)
			require.True(t, ok)
			require.Equal(t, tc.want, name)
		})
	}
	for _, key := range []string{
		"", "contexts:base", "build-arg:context:base",
		"local-sessionid:context",
	} {
		_, ok := NamedContext(key)
		require.False(t, ok, key)
	}
}

func TestOptionsThatCarryTheBuild(t *testing.T) {
	for _, key := range []string{
		"source", "cmdline", "frontend.caps", "build-arg:BUILDKIT_SYNTAX",
		"local-sessionid:context",
	} {
		require.True(t, CarriesBuild(key), key)
	}
	for _, key := range []string{
		"", "filename", "Source", "build-arg:BUILDKIT_SYNTAX_X",
		"local-sessionid", Overlay,
	} {
		require.False(t, CarriesBuild(key), key)
	}
}

func TestOwnOptions(t *testing.T) {
	require.True(t, IsOwn("build-arg:POLICY_FRONTEND_POLICY"))
	require.True(t, IsOwn("build-arg:POLICY_FRONTEND_"))
	require.False(t, IsOwn("POLICY_FRONTEND_POLICY"))
	require.False(t, IsOwn("build-arg:POLICY_FRONTEND"))
	require.Equal(t, "POLICY_FRONTEND_POLICY", ArgName(Overlay))
}
