package harness_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

func TestDaemonNamedByTheCallerIsUsedWhereAnyWillDo(t *testing.T) {
	theirs := env.Plain(t)
	t.Setenv("BUILDKIT_HOST", theirs.Addr)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})

	borrowed := env.StartDaemon(t, harness.DaemonConfig{AnyConfig: true})
	require.Equal(t, theirs.Addr, borrowed.Addr)
	borrowed.Buildx(t, dir, "build", ".").RequireSuccess(t)
	borrowed.Stop(t)
	theirs.Buildx(t, dir, "build", ".").RequireSuccess(t)

	own := env.StartDaemon(t, harness.DaemonConfig{})
	require.NotEqual(t, theirs.Addr, own.Addr)
}
