package integration

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A daemon imports the cache that another daemon exported. The result of the RUN differs each time,
// so an equal result shows that it didn't run again.
func TestAllowedCache(t *testing.T) {
	t.Parallel()
	each(t, ways(), testCache)
}

func testCache(t *testing.T, w way) {
	dir := withSyntax(t, "FROM busybox AS b\nRUN head -c 32 /dev/urandom | sha256sum > /random\n"+
		"FROM scratch\nCOPY --from=b /random /\n", nil)
	folder := t.TempDir()
	remote := env.Registry.Ref("cache/allowed:" + strings.ReplaceAll(w.name, " ", "-"))
	first, second := w.throughUs(t), w.throughUs(t)

	build := func(t *testing.T, s through, args ...string) (random, progress string) {
		t.Helper()
		out := t.TempDir()
		o := s.buildx(t, dir, append([]string{"--output", out}, args...)...).RequireSuccess(t)
		return read(t, filepath.Join(out, "random")), o.Text()
	}

	want, progress := build(t, first,
		"--cache-to=type=local,mode=max,dest="+folder, "--cache-to=type=registry,mode=max,ref="+remote)
	require.False(t, cached(t, progress, "RUN head -c 32"), "%s", progress)

	for name, from := range map[string]string{
		"from a folder":   "type=local,src=" + folder,
		"from a registry": "type=registry,ref=" + remote,
	} {
		t.Run(name, func(t *testing.T) {
			// A new daemon, because the one that built it has it in its own cache.
			us := w.throughUs(t)
			got, progress := build(t, us, "--cache-from="+from)
			require.Equal(t, want, got)
			require.True(t, cached(t, progress, "RUN head"), "%s", progress)
		})
	}
	t.Run("and from nowhere it runs again", func(t *testing.T) {
		got, progress := build(t, second)
		require.NotEqual(t, want, got)
		require.False(t, cached(t, progress, "RUN head"), "%s", progress)
	})
}

// cached reports whether plain progress marks a step as cached. The step is the one whose name
// contains the text. The test fails if there is no such step.
func cached(t *testing.T, progress, step string) bool {
	t.Helper()
	number := regexp.MustCompile(`(?m)^#(\d+) \[.*` + regexp.QuoteMeta(step)).
		FindStringSubmatch(progress)
	require.NotNil(t, number, "no step %q in\n%s", step, progress)
	return strings.Contains(progress, "\n#"+number[1]+" CACHED\n")
}
