package gatewayopts

import (
	"testing"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"
)

func TestAnEnvironmentIsRead(t *testing.T) {
	env := FromEnviron([]string{
		"PATH=/bin",
		"BUILDKIT_FRONTEND_OPT_0=target=app",
		"BUILDKIT_FRONTEND_OPT_1=build-arg:A=b=c",
		"BUILDKIT_FRONTEND_OPT_2=no-cache",
		"BUILDKIT_SESSION_ID=s",
		`BUILDKIT_WORKERS=[{"id":"w"}]`,
		"BUILDKIT_EXPORTEDPRODUCT=docker",
	})
	require.Equal(
		t, map[string]string{"target": "app", "build-arg:A": "b=c", "no-cache": ""}, env.Options,
	)
	require.Equal(t, "s", env.Session)
	require.Equal(t, "docker", env.Product)
	require.Equal(t, []client.WorkerInfo{{ID: "w"}}, env.Workers)

	require.Empty(t, FromEnviron([]string{"BUILDKIT_WORKERS=[{\"id\":\"w\"},"}).Workers)
	require.Empty(t, FromEnviron(nil).Options)
}

// Invariant: a writable option is read as it was written, and all else with it.
func FuzzEnvironment(f *testing.F) {
	f.Add("target", "app", "s", `[{"id":"w"}]`)
	f.Add("build-arg:A=b", "c", "", "")
	f.Add("", "=", "=", "{")
	f.Fuzz(func(t *testing.T, key, value, session, workers string) {
		env := FromEnviron([]string{envSession + "=" + session, envWorkers + "=" + workers})
		opts := map[string]string{key: value, "other": "x"}
		read := FromEnviron(env.Environ(opts))
		if Writable(key, value) {
			require.Equal(t, opts, read.Options)
		}
		require.Equal(t, env.Session, read.Session)
		require.Equal(t, env.Workers, read.Workers)
	})
}
