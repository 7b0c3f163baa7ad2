package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/policy-frontend/policy-frontend/policy"
)

// fakeDaemon tells its version.
type fakeDaemon struct {
	controlapi.UnimplementedControlServer

	version string
}

func (d fakeDaemon) Info(
	context.Context, *controlapi.InfoRequest,
) (*controlapi.InfoResponse, error) {
	return &controlapi.InfoResponse{
		BuildkitVersion: &types.BuildkitVersion{Version: d.version},
	}, nil
}

// serveDaemon serves a daemon of the version at a path.
func serveDaemon(t *testing.T, path, version string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	s := grpc.NewServer()
	controlapi.RegisterControlServer(s, fakeDaemon{version: version})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return s.Stop
}

// overSocket returns a client of HTTP over a Unix socket.
func overSocket(path string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}

func get(t *testing.T, c *http.Client, path string) (status int, body string) {
	t.Helper()
	resp, err := c.Get("http://guard" + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

func TestMetricsAndHealthOverHTTP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, socket, daemon := dir+"/policy.yaml", dir+"/metrics", dir+"/daemon"
	require.NoError(t, os.WriteFile(path, []byte(validPolicy), 0o600))
	s := start(t, "--policy", path, "--listen", "unix://"+dir+"/s", "--upstream", "unix://"+daemon,
		"--metrics", "unix://"+socket)
	require.Contains(t, s.stderr.String(), "the daemon doesn't answer")
	c := overSocket(socket)
	status, body := get(t, c, "/healthz")
	require.Equal(t, http.StatusOK, status, body)
	status, body = get(t, c, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.Contains(t, body, "the daemon doesn't answer")

	// The daemon comes, is replaced by an old one, and comes again.
	ready := func(want int, why string) {
		t.Helper()
		require.Eventually(t, func() bool {
			status, body := get(t, c, "/readyz")
			return status == want && strings.Contains(body, why)
		}, 20*time.Second, 20*time.Millisecond)
	}
	stop := serveDaemon(t, daemon, "v0.34.2")
	ready(http.StatusOK, "ready")
	stop()
	ready(http.StatusServiceUnavailable, "doesn't answer")
	stop = serveDaemon(t, daemon, "v0.33.0")
	ready(http.StatusServiceUnavailable, "buildkitd v0.33.0")
	stop()
	serveDaemon(t, daemon, "v0.35.0")
	ready(http.StatusOK, "ready")

	_, body = get(t, c, "/metrics")
	for _, want := range []string{
		"policy_guard_policy_valid 1\n", "policy_guard_builds 0\n", "process_resident_memory_bytes ",
		"go_memstats_heap_alloc_bytes ", `policy_guard_policy_reads_total{valid="true"} 1` + "\n",
	} {
		require.Contains(t, body, want)
	}
	require.NoError(t, os.WriteFile(path, []byte("x: 1\n"), 0o600))
	_, body = get(t, c, "/metrics")
	require.Contains(t, body, "policy_guard_policy_valid 0\n")
	status, body = get(t, c, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "the last good one stays in force: sha256:")

	for _, other := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		status, _ = get(t, c, other)
		require.Equal(t, http.StatusNotFound, status, other)
	}
	resp, err := c.Post("http://guard/metrics", "text/plain", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	s.end(t)
	require.NoFileExists(t, socket)
}

func TestMetricsHaveFewLabels(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	for i := range 10_000 {
		d := policy.Decision{Verdict: policy.Allow, Rule: fmt.Sprint("rule ", i)}
		m.Decided(d, time.Millisecond)
		m.Refused(d.Rule, "Solve")
		d.Layer = policy.LayerOverlay
		m.Decided(d, time.Millisecond)
	}
	m.Answered(true, time.Microsecond)
	families, err := m.registry.Gather()
	require.NoError(t, err)
	count := map[string]int{}
	for _, f := range families {
		count[f.GetName()] = len(f.GetMetric())
	}
	// The rules but (guard) and (overlay), and (other).
	require.Equal(t, maxRules-1, count["policy_guard_refusals_total"])
	require.LessOrEqual(t, count["policy_guard_decisions_total"], maxRules+1)
	require.Equal(t, 1, count["policy_guard_answer_seconds"])
}

func TestADaemonThatIsTooOldIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/policy.yaml", []byte(validPolicy), 0o600))
	serveDaemon(t, dir+"/daemon", "v0.31.0")
	args := []string{
		"--policy", dir + "/policy.yaml", "--listen", "unix://" + dir + "/s", "--upstream",
		"unix://" + dir + "/daemon",
	}
	var stderr printed
	require.Equal(t, exitFailed, run(t.Context(), args, io.Discard, &stderr))
	for _, want := range []string{
		"buildkitd v0.31.0", "as the client wrote them", "git bundles", "--accept-old-daemon",
	} {
		require.Contains(t, stderr.String(), want)
	}
	require.NoFileExists(t, dir+"/s")
	s := start(t, append(args, "--accept-old-daemon")...)
	require.Contains(t, s.stderr.String(), "the daemon is too old, and accepted")
	require.Contains(t, s.stderr.String(), "git bundles")
}

func TestTheLogCanBeJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/policy.yaml", []byte(validPolicy), 0o600))
	args := []string{
		"--policy", dir + "/policy.yaml", "--listen", "unix://" + dir + "/s", "--upstream",
		"unix:///nowhere", "--log-format", "json",
	}
	s := start(t, args...)
	var second printed
	require.Equal(t, exitFailed, run(t.Context(), args, io.Discard, &second))
	s.end(t)
	var messages []string
	for line := range strings.Lines(s.stderr.String() + second.String()) {
		var entry struct{ Level, Msg string }
		require.NoError(t, json.Unmarshal([]byte(line), &entry), line)
		messages = append(messages, entry.Msg)
	}
	require.Equal(t, []string{
		"the daemon doesn't answer, and no build can begin until it does", "ready", "ending",
		"the daemon doesn't answer, and no build can begin until it does", "policy-guard ends",
	}, messages)
}

// The process of TestSocketsThatSystemdPasses is this program.
func TestMain(m *testing.M) {
	if args := os.Getenv("PF_TEST_GUARD_ARGS"); args != "" {
		os.Exit(run(context.Background(), strings.Split(args, "\n"), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestSocketsThatSystemdPasses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/policy.yaml", []byte(validPolicy), 0o600))
	serveDaemon(t, dir+"/daemon", "v0.34.2")
	args := []string{
		"--policy", dir + "/policy.yaml", "--listen", "fd://", "--upstream",
		"unix://" + dir + "/daemon",
	}
	var stderr printed
	require.Equal(t, exitUsage, run(t.Context(), args, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "systemd has passed no sockets")

	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	start := func(fds string, listeners ...interface{ File() (*os.File, error) }) (
		*exec.Cmd, *printed,
	) {
		t.Helper()
		// LISTEN_PID is the process that systemd starts.
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0])
		cmd.Env = append(os.Environ(), "LISTEN_FDS="+fds,
			"PF_TEST_GUARD_ARGS="+strings.Join(args, "\n"))
		out := &printed{}
		cmd.Stderr = out
		for _, l := range listeners {
			f, err := l.File()
			require.NoError(t, err)
			defer f.Close()
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		require.NoError(t, cmd.Start())
		return cmd, out
	}
	cmd, out := start("2", l, tcp.(*net.TCPListener))
	require.Error(t, cmd.Wait())
	require.Contains(t, out.String(), "known by their certificates", "TCP needs them here too")
	cmd, _ = start("0", l)
	require.Error(t, cmd.Wait())
	require.Equal(t, exitUsage, cmd.ProcessState.ExitCode())

	cmd, out = start("1", l)
	require.NoError(t, l.Close())
	conn, err := grpc.NewClient("unix://"+dir+"/s",
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = controlapi.NewControlClient(conn).Info(ctx, &controlapi.InfoRequest{})
	require.NoError(t, err, "%s", out)
	require.Contains(t, out.String(), "ready on unix://"+dir+"/s")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.FileExists(t, filepath.Join(dir, "s"), "the socket is systemd's")
}
