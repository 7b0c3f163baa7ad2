package optionkeys_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, glob, key string
		want            bool
	}{
		{"the key itself", "target", "target", true},
		{"another key", "target", "targets", false},
		{"a proxy in lower case", "build-arg:HTTP_PROXY", "build-arg:http_proxy", true},
		{"a proxy in mixed case", "build-arg:https_proxy", "build-arg:Https_Proxy", true},
		{"a glob for proxies", "build-arg:*_PROXY", "build-arg:no_proxy", true},
		{"the five proxies only", "build-arg:SOCKS_PROXY", "build-arg:socks_proxy", false},
		{"another build-arg in another case", "build-arg:DEBUG", "build-arg:debug", false},
		{"the hostname by its build-arg", "build-arg:BUILDKIT_SANDBOX_HOSTNAME", "hostname", true},
		{"the build-arg of the hostname", "hostname", "build-arg:BUILDKIT_SANDBOX_HOSTNAME", true},
		{"the hostname by a glob for BuildKit's build-args", "build-arg:BUILDKIT_*", "hostname", true},
		{"several platforms", "build-arg:BUILDKIT_MULTI_PLATFORM", "multi-platform", true},
		{"imported caches", "cache-from", "cache-imports", true},
		{"an attestation in upper case", "attest:sbom", "attest:SBOM", true},
		{"an attestation by its build-arg", "attest:sbom", "build-arg:BUILDKIT_ATTEST_SBOM", true},
		{"the build-arg of an attestation", "build-arg:BUILDKIT_ATTEST_*", "attest:provenance", true},
		{"the attestation of every build", "build-arg:BUILDKIT_*", "attest:provenance", false},
		{"an attestation that somebody asked for", "build-arg:BUILDKIT_*", "attest:sbom", true},
		{"a named context of one platform", "context:alpine", "context:alpine::linux/arm64", true},
		{"a named context of all platforms", "context:alpine::linux/arm64", "context:alpine", false},
		{"a named context with its host", "context:docker.io/library/alpine", "context:alpine", true},
		{"a named context with the tag latest", "context:alpine:latest", "context:alpine", true},
		{"named contexts of Docker Hub", "context:docker.io/*", "context:alpine::linux/arm64", true},
		{"a named context of an organisation", "context:docker.io/x/y", "context:x/y", true},
		{"a named context with another tag", "context:alpine:3", "context:alpine", false},
		{
			"a platform in another spelling", "context:alpine::linux/aarch64",
			"context:alpine::linux/arm64", true,
		},
		{
			"a platform with its default variant", "context:a::linux/arm64",
			"context:a::linux/arm64/v8", true,
		},
		{"another platform", "context:a::linux/arm64", "context:a::linux/amd64", false},
		{"a glob for platforms", "context:a::linux/*", "context:a::linux/aarch64", true},
		{"another named context", "context:alpine", "context:alpine2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, optionkeys.Matches(tt.glob, tt.key))
		})
	}
}

func TestADeniedContextOfAPlatform(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, glob, key string
		want            bool
	}{
		{"the context of all platforms", "context:alpine::linux/amd64", "context:alpine", true},
		{
			"a longer name of the platform", "context:alpine::linux/amd64",
			"context:alpine::linux/amd64/v1", true,
		},
		{"with its host", "context:docker.io/library/alpine::linux/amd64", "context:alpine", true},
		{"any platform", "context:alpine::*", "context:alpine", true},
		{"another name", "context:alpine::linux/amd64", "context:alpine2", false},
		{"another option", "context:alpine::linux/amd64", "target", false},
		{"an option that isn't a context", "target", "target", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := ""
			if tt.want {
				want = tt.glob
			}
			require.Equal(t, want, optionkeys.FirstDenied([]string{"other", tt.glob}, tt.key))
		})
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"add-host": "add-hosts", "network": "force-network-mode", "platfomr": "platform",
		"build-arg:BUILDKIT_SANDBOX_HOSTNAM": "build-arg:BUILDKIT_SANDBOX_HOSTNAME",
		"target":                             "", "build-arg:TARGE": "", "variant": "", "build-arg:*": "",
	} {
		require.Equal(t, want, optionkeys.Suggest(key), key)
	}
}

// Invariant: twins get one answer from each glob, but for the two exceptions.
func FuzzTwinsGetOneAnswer(f *testing.F) {
	for _, glob := range []string{
		"*", "build-arg:*", "h*", "cache-from", "build-arg:Http*", "attest:*",
	} {
		f.Add(glob)
	}
	twins := [][]string{
		{"build-arg:HTTP_PROXY", "build-arg:http_proxy", "build-arg:Http_Proxy"},
		{"build-arg:ALL_PROXY", "build-arg:all_proxy"},
		{"hostname", "build-arg:BUILDKIT_SANDBOX_HOSTNAME"},
		{"multi-platform", "build-arg:BUILDKIT_MULTI_PLATFORM"},
		{"cache-imports", "cache-from"},
		{"attest:sbom", "attest:SBOM", "build-arg:BUILDKIT_ATTEST_SBOM"},
	}
	f.Fuzz(func(t *testing.T, glob string) {
		for _, group := range twins {
			for _, key := range group[1:] {
				require.Equal(t, optionkeys.Canonical(group[0]), optionkeys.Canonical(key))
				require.Equal(t, optionkeys.Matches(glob, group[0]), optionkeys.Matches(glob, key), key)
			}
		}
	})
}
