package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/record"
)

// A changed policy counts from the next build on, and an invalid one doesn't count.
func TestGuardReadsThePolicyAgain(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))
	build := func() harness.Output { return g.Buildx(t, dir, "build", "--progress=plain", ".") }
	build().RequireSuccess(t)

	strict := strings.Replace(guardPolicy, `"docker/dockerfile"`, `"other/dockerfile"`, 1)
	require.NoError(t, os.WriteFile(g.Policy, []byte(strict), 0o600))
	build().RequireFailure(t, "no rule allows docker/dockerfile:1")
	require.Contains(t, g.Log(), "a new policy is in force")

	require.NoError(t, os.WriteFile(g.Policy, []byte("version: 1\nfrontend: []\n"), 0o600))
	build().RequireFailure(t, "no rule allows docker/dockerfile:1")
	build().RequireFailure(t, "no rule allows docker/dockerfile:1")
	require.Equal(t, 1, strings.Count(g.Log(), "the last good one stays in force"))

	require.NoError(t, os.WriteFile(g.Policy+".new", []byte(guardPolicy), 0o600))
	require.NoError(t, os.Rename(g.Policy+".new", g.Policy))
	build().RequireSuccess(t)
	require.Contains(t, g.Log(), "msg=decided client=uid:0 build=")
	require.Contains(t, g.Log(), `rule=default why="no rule allows docker/dockerfile:1"`)
}

// get returns what the guard serves over HTTP on a Unix socket.
func get(t *testing.T, socket, path string) (code int, body string) {
	t.Helper()
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	resp, err := c.Get("http://guard" + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

// A build ends with its daemon, and later ones work.
func TestGuardAndARestartedDaemon(t *testing.T) {
	t.Parallel()
	env.NeedsOwnDaemon(t, "it kills the daemon")
	socket := filepath.Join(t.TempDir(), "metrics")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--metrics", "unix://"+socket)
	dir := harness.WriteContext(t, dockerfile(""))
	g.Buildx(t, dir, "build", ".").RequireSuccess(t)
	bad := harness.WriteContext(t, dockerfile(forbidden))
	g.Buildx(t, bad, "build", ".").RequireFailure(t, "is refused")

	ended := make(chan error, 1)
	c := clientOf(t, g.Daemon, 0)
	go func() {
		_, err := controlapi.NewControlClient(c).Solve(t.Context(),
			&controlapi.SolveRequest{Ref: "b", Cache: &controlapi.CacheOptions{}})
		ended <- err
	}()
	under := func(n string) func() bool {
		return func() bool {
			_, body := get(t, socket, "/metrics")
			return strings.Contains(body, "\npolicy_guard_builds "+n+"\n")
		}
	}
	require.True(t, harness.Poll(20*time.Second, under("1")))
	code, body := get(t, socket, "/readyz")
	require.Equal(t, http.StatusOK, code, body)
	_, body = get(t, socket, "/metrics")
	for _, want := range []string{
		`policy_guard_decisions_total{rule="dockerfile",verdict="allow"} `,
		`policy_guard_refusals_total{rule="default",what="Solve"} 1`,
		`policy_guard_answer_seconds_count{allowed="true"} `,
	} {
		require.Contains(t, body, want)
	}

	g.Behind.Crash(t)
	err := <-ended
	require.Contains(t, []codes.Code{codes.Aborted, codes.Unavailable}, status.Code(err), "%v", err)
	require.Regexp(t, "policy-guard (lost the daemon|ended the build)", err.Error())
	require.True(t, harness.Poll(20*time.Second, under("0")))
	require.True(t, harness.Poll(20*time.Second, func() bool {
		code, _ := get(t, socket, "/readyz")
		return code == http.StatusServiceUnavailable
	}))
	check := func() healthpb.HealthCheckResponse_ServingStatus {
		resp, err := healthpb.NewHealthClient(c).Check(withHeaders(t), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		return resp.Status
	}
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, check())
	g.Buildx(t, dir, "build", ".").RequireFailure(t)

	g.Behind.Begin(t)
	require.True(t, harness.Poll(20*time.Second, func() bool {
		return check() == healthpb.HealthCheckResponse_SERVING
	}))
	out := t.TempDir()
	g.Buildx(t, dir, "build", "-o", out, ".").RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
}

// What a command was doing ends with the daemon. Nothing is exported, and the record says it.
func TestADaemonThatDiesDuringACommand(t *testing.T) {
	t.Parallel()
	env.NeedsOwnDaemon(t, "it kills the daemon")
	env.NeedsRoot(t, "the containers of a rootless one would go on")
	path := filepath.Join(t.TempDir(), "record")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--record", path)
	const seconds = "31537013"
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nARG SECONDS\nRUN echo begun >/out && sleep $SECONDS\n",
	})
	out := t.TempDir()
	build := func(seconds string) harness.Command {
		return g.BuildctlCommand(byBuildctl(dir, inner, "--opt", "build-arg:SECONDS="+seconds,
			"--output", "type=local,dest="+out)...)
	}
	p := g.Start(t, build(seconds))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith(seconds)) > 0
	}), "%s", p.Output())

	g.Behind.Crash(t)
	o := p.Wait(t).RequireFailure(t)
	require.Regexp(t, "policy-guard (lost the daemon|ended the build)", o.Text())
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
	require.True(t, harness.Poll(20*time.Second, func() bool {
		ended, _ := recordOf(t, path)
		return len(ended) == 1
	}))
	require.Equal(t, record.Failed, lastOf(t, path).Outcome)

	g.Behind.Begin(t)
	require.True(t, harness.Poll(20*time.Second, func() bool {
		return g.Run(t, build("0")).ExitCode == 0
	}))
	require.Equal(t, "begun\n", read(t, filepath.Join(out, "out")))
	require.Equal(t, record.Done, lastOf(t, path).Outcome)
}

// stages are builds that stay in one stage. seconds finds the stage's process in a container; it is
// "" where there is none.
func stages(t *testing.T) map[string]stage {
	waiter := pushProgram(t, "waiter")
	return map[string]stage{
		"while a frontend runs": {
			files: dockerfile(waiter), seconds: "31537001",
			args: func(out string) []string {
				return []string{"--build-arg=SECONDS=31537001", "-o", out}
			},
		},
		"while a command runs": {
			files: map[string]string{
				"Dockerfile": goodSyntax + "FROM busybox\nRUN [\"sleep\", \"31537002\"]\n",
			}, seconds: "31537002",
			args: func(out string) []string { return []string{"-o", out} },
		},
		"while the result is exported": {
			files: map[string]string{
				"Dockerfile": goodSyntax + "FROM busybox AS a\nRUN dd if=/dev/zero of=/out bs=1M count=50\n" +
					"FROM scratch\nCOPY --from=a /out /\n",
			},
			args: func(out string) []string {
				pipe := out + ".pipe"
				require.NoError(t, syscall.Mkfifo(pipe, 0o600))
				return []string{"-o", "type=tar,dest=" + pipe}
			},
		},
	}
}

type stage struct {
	files   map[string]string
	seconds string
	args    func(out string) []string
}

// active returns how many builds are under way at the daemon.
func active(t *testing.T, d *harness.Daemon) (n int) {
	t.Helper()
	for _, r := range records(t, d, 0, true) {
		if r.CompletedAt == nil {
			n++
		}
	}
	return n
}

// What a guard had begun ends with it, and nothing is exported.
func TestAKilledGuardLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	env.NeedsOwnDaemon(t, "it counts the daemon's containers")
	doc := guardPolicy + "  - {name: waiter, match: [tests/waiter]}\n"
	g := env.Guard(t, harness.DaemonConfig{}, doc)
	gone := func(seconds string) {
		t.Helper()
		require.True(t, harness.Poll(30*time.Second, func() bool {
			return len(g.Behind.Containers()) == 0 && active(t, g.Behind) == 0 &&
				(seconds == "" || len(processesWith(seconds)) == 0)
		}), "containers %v, builds %d", g.Behind.Containers(), active(t, g.Behind))
	}
	t.Run("before a frontend is chosen", func(t *testing.T) {
		c := clientOf(t, g.Daemon, 0)
		ended := make(chan error, 1)
		go func() {
			_, err := controlapi.NewControlClient(c).Solve(t.Context(),
				&controlapi.SolveRequest{Ref: "b", Cache: &controlapi.CacheOptions{}})
			ended <- err
		}()
		require.True(t, harness.Poll(20*time.Second, func() bool { return active(t, g.Behind) == 1 }))
		g.Kill(t)
		require.Error(t, <-ended)
		gone("")
		g.Begin(t)
	})
	for name, tc := range stages(t) {
		t.Run(name, func(t *testing.T) {
			dir, out := harness.WriteContext(t, tc.files), filepath.Join(t.TempDir(), "out")
			args := append([]string{"build", "--progress=plain"}, tc.args(out)...)
			var reader *os.File // who doesn't read, so the client can't go on
			if tc.seconds == "" {
				var err error
				reader, err = os.OpenFile(out+".pipe", os.O_RDWR, 0)
				require.NoError(t, err)
				defer reader.Close()
			}
			p := g.Start(t, g.BuildxCommand(dir, append(args, ".")...))
			require.True(t, harness.Poll(time.Minute, func() bool {
				if tc.seconds == "" {
					return strings.Contains(p.Output().Text(), "sending tarball")
				}
				return len(processesWith(tc.seconds)) > 0
			}), "%s", p.Output())
			func() {
				g.Kill(t)
				defer g.Begin(t)
				gone(tc.seconds)
				if reader != nil {
					require.NoError(t, reader.Close())
				}
				p.Wait(t).RequireFailure(t)
				require.NoFileExists(t, filepath.Join(out, "out"))
			}()
			out = t.TempDir()
			ok := harness.WriteContext(t, dockerfile(""))
			g.Buildx(t, ok, "build", "-o", out, ".").RequireSuccess(t)
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		})
	}
}

// After SIGTERM, a build under way may end, and no further one begins. Then the time is up.
func TestAGuardThatEndsLetsBuildsEnd(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--drain", "60s")
	out := t.TempDir()
	slow := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox AS a\nRUN sleep 31537021; echo ran >/out\nFROM scratch\n" +
			"COPY --from=a /out /\n",
	})
	p := g.Start(t, g.BuildxCommand(slow, "build", "--progress=plain", "-o", out, "."))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith("31537021")) > 0
	}), "%s", p.Output())
	g.Terminate(t)
	require.True(t, harness.Poll(10*time.Second, func() bool {
		return strings.Contains(g.Log(), "msg=ending builds=1")
	}))
	g.Buildx(t, slow, "build", "--no-cache", ".").RequireFailure(t, "policy-guard is ending")
	wake(t, "31537021")
	p.Wait(t).RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	g.Stop(t)

	g = env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--drain", "1s")
	endless := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN [\"sleep\", \"31537003\"]\n",
	})
	p = g.Start(t, g.BuildxCommand(endless, "build", "--progress=plain", "."))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith("31537003")) > 0
	}), "%s", p.Output())
	g.Terminate(t)
	p.Wait(t).RequireFailure(t)
	require.True(t, harness.Poll(20*time.Second, func() bool {
		return len(processesWith("31537003")) == 0
	}))
	g.Stop(t)
	require.Contains(t, g.Log(), "builds under way are ended")
}
