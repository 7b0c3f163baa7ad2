package integration

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Rules on the tags of base images hold beside a digest too: the tag is looked up, and must point
// to the digest.
func TestTagsOfBaseImagesBesideADigest(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"1.22", "1.21"} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"),
			env.Registry.Ref("tagged/go:"+tag)))
	}
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"),
		env.Registry.Ref("tagged/go:1.23")))
	is, other := digestOf(t, "tagged/go:1.22"), digestOf(t, "tagged/go:1.23")
	require.NotEqual(t, is, other)

	const doc = `version: 1
id: corp-ci
contact: "#build-help"
dispatch: %s
build:
  images:
    - {name: go, match: ["tagged/go"], versions: ">=1.22", message: "older releases get no fixes"}
frontends:
  - {name: dockerfile, match: ["docker/dockerfile"]}
`
	for _, by := range []policy.Dispatch{policy.DispatchMediate, policy.DispatchBuiltin} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			us := under(t, fmt.Sprintf(doc, by))
			for name, tc := range map[string]struct {
				from string
				want []string // of the refusal; nil if the build goes on
			}{
				"a tag in the range":                     {from: "tagged/go:1.22"},
				"a tag that points to the digest":        {from: "tagged/go:1.22@" + is},
				"a tag that points to another digest":    {from: "tagged/go:1.22@" + other, want: []string{other}},
				"an older tag":                           {from: "tagged/go:1.21", want: []string{"1.21"}},
				"an older tag that points to the digest": {from: "tagged/go:1.21@" + is, want: []string{"1.21"}},
				"a digest alone":                         {from: "tagged/go@" + is, want: []string{"tagged/go@" + is}},
				"a tag that isn't there":                 {from: "tagged/go:1.99@" + is, want: []string{"1.99"}},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					out := filepath.Join(t.TempDir(), "out")
					o := us.buildx(t, withSyntax(t, "FROM "+tc.from+"\n", nil), "-o", out)
					if tc.want == nil {
						o.RequireSuccess(t)
						return
					}
					o.RequireFailure(t, append(tc.want, "frontend docker/dockerfile:1 is refused: ",
						"policy:       corp-ci sha256:", "line 2 of Dockerfile")...)
					require.NoDirExists(t, out)
				})
			}
		})
	}
}
