package harness_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const dockerfileOnly = `version: 1
id: harness
default: deny
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
`

func TestImageIsTheOnlyWayIn(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, dockerfileOnly)
	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox AS b\nRUN echo ran > /out\nFROM scratch\nCOPY --from=b /out /\n",
	})

	out := t.TempDir()
	d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX="+us+" docker/dockerfile:1", "-o", out,
		".").RequireSuccess(t)
	require.Equal(t, "ran\n", readFile(t, filepath.Join(out, "out")))

	denied := "frontends/denied:1"
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(env.Frontend(t, harness.EvilFrontend)),
		env.Registry.Ref(denied)))
	d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX="+us+" "+denied, "-o", t.TempDir(), ".").
		RequireFailure(t, denied)
	require.Empty(t, env.Registry.BlobsPulled("frontends/denied"))
}
