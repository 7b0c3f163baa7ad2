package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

const validPolicy = "version: 1\nfrontends: [{name: a, match: [docker/dockerfile]}]\n"

// printed is what the program prints, which may be read while it runs.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *printed) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *printed) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestWrongUsageEndsWithTwo(t *testing.T) {
	t.Parallel()
	policy := file(t, "policy.yaml", validPolicy, 0o600)
	broken := file(t, "policy.yaml", "version: 1\nfrontend: []\n", 0o600)
	socket := "unix://" + filepath.Join(t.TempDir(), "s")
	const daemon = "unix:///nowhere"
	all := func(policy, listen, upstream string, more ...string) []string {
		return append([]string{"--policy", policy, "--listen", listen, "--upstream", upstream}, more...)
	}
	for name, tc := range map[string]struct {
		args []string
		why  string
	}{
		"no flags":          {nil, "is missing"},
		"no policy":         {[]string{"--listen", socket, "--upstream", daemon}, "--policy is missing"},
		"an unknown flag":   {all(policy, socket, daemon, "--allow-all"), "unknown flag"},
		"an argument":       {all(policy, socket, daemon, "x"), "takes no arguments"},
		"a missing policy":  {all("/nowhere/p.yaml", socket, daemon), "nowhere"},
		"an invalid policy": {all(broken, socket, daemon), "frontend"},
		"an address without a scheme": {
			all(policy, "/run/x.sock", daemon), "neither unix:///path nor tcp://host:port",
		},
		"TCP without certificates": {
			all(policy, "tcp://127.0.0.1:0", daemon), "known by their certificates",
		},
		"certificates that aren't there": {
			all(policy, "tcp://127.0.0.1:0", daemon, "--tls-cert=/nowhere/c", "--tls-key=/nowhere/k",
				"--tls-client-ca=/nowhere/a"), "the certificates: open /nowhere/c",
		},
		"an unknown format of the log": {all(policy, socket, daemon, "--log-format", "xml"), "text or json"},
		"a negative time":              {all(policy, socket, daemon, "--drain=-1s"), "--drain"},
		"an address of metrics without a port": {
			all(policy, socket, daemon, "--metrics", "localhost"), "neither tcp://host:port",
		},
		"sockets that nobody passes": {all(policy, "fd://", daemon), "systemd has passed no sockets"},
		"a distant daemon": {
			all(policy, socket, "tcp://192.0.2.1:1234"), "isn't on this machine",
		},
		"an image that is no reference": {
			all(policy, socket, daemon, "--image", "not a reference"), "the image: ",
		},
		"a short key": {
			all(policy, socket, daemon, "--ref-key", file(t, "key", "short", 0o600)), "less than 32",
		},
		"a key that others can read": {
			all(policy, socket, daemon, "--ref-key", file(t, "key", strings.Repeat("x", 32), 0o644)),
			"others than its owner",
		},
		"a key that its group can write": {
			all(policy, socket, daemon, "--ref-key", file(t, "key", strings.Repeat("x", 32), 0o660)),
			"the group can write it",
		},
	} {
		var stderr printed
		require.Equal(t, exitUsage, run(t.Context(), tc.args, io.Discard, &stderr), name)
		require.Contains(t, stderr.String(), tc.why, name)
	}
}

func TestItSaysWhenItIsReadyAndEndsWithZero(t *testing.T) {
	t.Parallel()
	policy := file(t, "policy.yaml", validPolicy, 0o600)
	path := filepath.Join(t.TempDir(), "s")
	args := []string{"--policy", policy, "--listen", "unix://" + path, "--upstream", "unix:///nowhere"}
	start := func() (context.CancelFunc, chan int) {
		ctx, cancel := context.WithCancel(t.Context())
		stderr, code := &printed{}, make(chan int, 1)
		go func() { code <- run(ctx, args, io.Discard, stderr) }()
		require.Eventually(t, func() bool {
			return strings.Contains(stderr.String(), "policy-guard: ready on unix://"+path)
		}, 30*time.Second, time.Millisecond, stderr)
		return cancel, code
	}
	cancel, code := start()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(socketMode), info.Mode().Perm())

	var second printed
	require.Equal(t, exitFailed, run(t.Context(), args, io.Discard, &second))
	require.Contains(t, second.String(), "another program listens")

	cancel()
	require.Equal(t, exitOK, <-code)

	// A socket that a killed program left is replaced, and another file isn't.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	cancel, code = start()
	cancel()
	require.Equal(t, exitOK, <-code)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.Equal(t, exitFailed, run(t.Context(), args, io.Discard, &second))
}

// started is the program while it runs.
type started struct {
	stderr *printed
	cancel context.CancelFunc
	code   chan int
}

// start runs the program until it is ready.
func start(t *testing.T, args ...string) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &started{&printed{}, cancel, make(chan int, 1)}
	go func() { s.code <- run(ctx, args, io.Discard, s.stderr) }()
	require.Eventually(t, func() bool { return strings.Contains(s.stderr.String(), "ready") },
		30*time.Second, time.Millisecond, s.stderr)
	t.Cleanup(func() { s.end(t) })
	return s
}

// end ends the program, which has to exit with 0.
func (s *started) end(t *testing.T) {
	t.Helper()
	s.cancel()
	if code, ok := <-s.code; ok {
		require.Equal(t, exitOK, code, s.stderr)
		close(s.code)
	}
}

func TestThePageHasEachFlag(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/guard.md")
	require.NoError(t, err)
	_, help, err := parse([]string{"--help"})
	require.ErrorIs(t, err, pflag.ErrHelp)
	flags := regexp.MustCompile(`(?m)^ +(--[a-z-]+)`).FindAllStringSubmatch(help, -1)
	require.NotEmpty(t, flags)
	for _, f := range flags {
		require.Contains(t, string(page), "`"+f[1], f[1])
	}
}
