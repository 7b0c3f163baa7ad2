package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// refusedBuild asks for a build that is refused before the daemon is asked.
func refusedBuild(t *testing.T, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	_, err = controlapi.NewControlClient(conn).Solve(t.Context(),
		&controlapi.SolveRequest{Ref: "b", SourcePolicySession: "x"})
	require.ErrorContains(t, err, "a session policy of its own")
}

func TestTheRecordIsOpenedAgainAtAHangup(t *testing.T) { //nolint:paralleltest // it sends itself a signal
	policy := file(t, "policy.yaml", validPolicy, 0o600)
	record := filepath.Join(t.TempDir(), "record")
	address := "unix://" + filepath.Join(t.TempDir(), "s")
	s := start(t, "--policy", policy, "--listen", address, "--upstream", "unix:///nowhere", "--record",
		record)
	refusedBuild(t, address)
	text, err := os.ReadFile(record)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), "\n"))
	require.NoError(t, os.Rename(record, record+".1"))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool {
		_, err := os.Stat(record)
		return err == nil
	}, 30*time.Second, time.Millisecond)
	s.end(t)

	var second printed
	require.Equal(t, exitUsage, run(t.Context(), []string{
		"--policy", policy, "--listen", address, "--upstream", "unix:///nowhere",
		"--record", "/nowhere/r",
	}, &second, &second))
	require.Contains(t, second.String(), "--record: open /nowhere/r")
}

func TestTheRecordOnStdout(t *testing.T) {
	t.Parallel()
	policy := file(t, "policy.yaml", validPolicy, 0o600)
	address := "unix://" + filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr, code := &printed{}, &printed{}, make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"--policy", policy, "--listen", address, "--upstream", "unix:///nowhere", "--record", "-",
		}, stdout, stderr)
	}()
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "ready") },
		30*time.Second, time.Millisecond, stderr)
	refusedBuild(t, address)
	cancel()
	require.Equal(t, exitOK, <-code)
	require.Contains(t, stdout.String(), `"outcome":"refused"`)
	require.Equal(t, 1, strings.Count(stdout.String(), "\n"))
}
