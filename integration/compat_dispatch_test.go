package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// judgedBy returns corpPolicy with a dispatch for docker/dockerfile, and with one denied base
// image.
func judgedBy(dispatch string) string {
	return strings.Replace(corpPolicy, "    match: [\"docker/dockerfile\"]\n",
		"    match: [\"docker/dockerfile\"]\n    dispatch: "+dispatch+
			"\n    build: {images: {deny: [compat/denied]}}\n", 1)
}

// testDispatchers runs three builds with each dispatch: one that is allowed, one with a denied base
// image, and one that fails by itself. build runs a build in a folder, through the image that
// BUILDKIT_SYNTAX names.
func testDispatchers(
	t *testing.T, build func(t *testing.T, syntax, dir string, args ...string) harness.Output,
) {
	t.Helper()
	const denied = "compat/denied:1"
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"),
		env.Registry.Ref(denied)))
	for _, dispatch := range []string{"forward", "mediate", "builtin"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			us := env.WithPolicy(t, judgedBy(dispatch))
			t.Run("an allowed build", func(t *testing.T) {
				t.Parallel()
				out := t.TempDir()
				dir := withSyntax(t, "FROM busybox AS b\nARG WHO\nCOPY greeting /\n"+
					"RUN echo $(cat /greeting) $WHO > /out\nFROM scratch\nCOPY --from=b /out /\n",
					map[string]string{
						"greeting": "hello",
					})
				build(t, us, dir, "--build-arg", "WHO=you", "-o", out).RequireSuccess(t)
				require.Equal(t, "hello you\n", read(t, filepath.Join(out, "out")))
			})
			t.Run("a base image that is denied", func(t *testing.T) {
				t.Parallel()
				out := filepath.Join(t.TempDir(), "out")
				o := build(t, us, withSyntax(t, "FROM busybox\nCOPY --from="+denied+" /etc/passwd /\n", nil),
					"-o", out)
				o.RequireFailure(t, ">>> COPY --from="+denied, denied, "is refused",
					"policy:       corp-ci sha256:", "contact:      #build-help")
				require.NoDirExists(t, out)
			})
			t.Run("a command that fails", func(t *testing.T) {
				t.Parallel()
				o := build(t, us, withSyntax(t, "FROM busybox\nRUN exit 42\n", nil))
				o.RequireFailure(t, ">>> RUN exit 42", "exit code: 42")
			})
		})
	}
}

// The dispatchers need more of a daemon than a nested solve does. So they have a test of their own,
// which `make test` also runs on the oldest daemon.
func TestDispatchersOnTheChosenBuildkitd(t *testing.T) {
	t.Parallel()
	d := env.SolePermitted(t)
	testDispatchers(t, func(t *testing.T, syntax, dir string, args ...string) harness.Output {
		t.Helper()
		return d.Buildx(t, dir, byBuildx(syntax, args...)...)
	})
}
