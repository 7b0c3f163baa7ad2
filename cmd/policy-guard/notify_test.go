package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSystemdIsToldWhenItIsReadyAndWhenItStops(t *testing.T) {
	for name, address := range map[string]string{
		"a path":           filepath.Join(t.TempDir(), "notify"),
		"an abstract name": "@" + filepath.Join(t.TempDir(), "notify"),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			require.NoError(t, err)
			defer l.Close()
			require.NoError(t, l.SetReadDeadline(time.Now().Add(20*time.Second)))
			said := func() string {
				b := make([]byte, 100)
				n, err := l.Read(b)
				require.NoError(t, err)
				return string(b[:n])
			}
			t.Setenv(managerVariable, address)
			s := start(t, "--policy", file(t, "policy.yaml", validPolicy, 0o600), "--listen",
				"unix://"+filepath.Join(t.TempDir(), "s"), "--upstream", "unix:///nowhere")
			require.Equal(t, isReady, said())
			s.end(t)
			require.Equal(t, isStopping, said())
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Setenv(managerVariable, filepath.Join(t.TempDir(), "none"))
		s := start(t, "--policy", file(t, "policy.yaml", validPolicy, 0o600), "--listen",
			"unix://"+filepath.Join(t.TempDir(), "s"), "--upstream", "unix:///nowhere")
		s.end(t)
		require.Contains(t, s.stderr.String(), "systemd can't be told")
	})
}
