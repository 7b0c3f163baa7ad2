package integration

import (
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// TestAnImageIsConvertedOnce: docker/dockerfile looks images up, and builds on the names that it
// gets. The second conversion is for those who write the second name.
func TestAnImageIsConvertedOnce(t *testing.T) {
	t.Parallel()
	newBuildSites(t) // pushes the images
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			us := under(t, `version: 1
id: corp-ci
dispatch: `+string(by)+`
build:
  images:
    allow: [good/base]
    convert: [{from: old/base, to: good/base}, {from: good/base, to: evil/base}]
frontends:
  - {name: dockerfile, match: ["docker/dockerfile"]}
`)
			build := func(image string) harness.Output {
				return us.buildx(t, withSyntax(t, "FROM "+image+"\nRUN echo ran > /out\n", nil),
					"-o", t.TempDir())
			}
			build(oldBase).RequireSuccess(t)
			build(goodBase).RequireFailure(t, "refuses the image evil/base:1")
		})
	}
}
