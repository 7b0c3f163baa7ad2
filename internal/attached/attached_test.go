package attached

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSkippedHasAFewShortLines(t *testing.T) {
	t.Parallel()
	var f Found
	for range 50 {
		f.skip("a summary", errors.New(strings.Repeat("long\n", 1000)))
	}
	require.Len(t, f.Skipped, maxNotes)
	require.Equal(t, "others, too", f.Skipped[maxNotes-1])
	require.Less(t, len(strings.Join(f.Skipped, "")), 4000)
	require.NotContains(t, strings.Join(f.Skipped, ""), "\n")
}
