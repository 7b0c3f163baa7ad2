package dockerfileversions

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServes(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{
		"latest", "labs", "1", "1.0", "1.7", "1.7.1", "1.7-labs", "1-labs",
		"1.0-experimental", "1.0.3-experimental", "1.1-experimental", Newest,
	} {
		require.True(t, Serves(tag), tag)
	}
	for _, tag := range []string{
		"", "0.9", "2", "1.29", "1.999", "1.999-experimental", "experimental", "master",
	} {
		require.False(t, Serves(tag), tag)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	require.Subset(t, Tags(), []string{"latest", "labs", "1", "1-labs", "1.7.3", "1.7.3-labs", Newest})
	for _, tag := range Tags() {
		require.True(t, Serves(tag), tag)
	}
}
