package diff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The daemon asks about each request, also of a frontend that is forwarded.
func TestDownloadsAreComparedWhateverTheDispatch(t *testing.T) {
	t.Parallel()
	for _, dispatch := range []string{"forward", "mediate", "builtin"} {
		doc := func(downloads string) string {
			return head + "- {name: a, match: [docker/dockerfile], dispatch: " + dispatch +
				", build: {exec: {downloads: " + downloads + "}}}\n"
		}
		few, more := parse(t, doc("{allow: [a.example]}")), parse(t, doc("{allow: [a.example, b.example]}"))
		wider := Compare(few, more, now())
		require.True(t, wider.Widened)
		require.Len(t, wider.Differences, 1)
		require.Contains(t, strings.Join(wider.Differences[0].Details, "\n"),
			"no longer refused in a build: a command's request for https://b.example")
		narrower := Compare(more, few, now())
		require.False(t, narrower.Widened)
		require.True(t, narrower.Complete)
		require.NotEmpty(t, narrower.Differences)
	}
}
