package integration

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// A build keeps the policy by which its frontend was allowed. If the change comes before it has
// asked for its frontend, it has to begin again. Builds that begin after the change get the new
// policy, or the last good one.
func TestAPolicyThatChangesWhileBuildsRun(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))
	mounts := mountsOf(t, dir)

	// begin begins a build that asks for its frontend when it is told to.
	begin := func() (ask chan struct{}, ended chan error) {
		ctx, c := buildkitClient(t, g.Daemon)
		begun := make(chan struct{})
		ask, ended = make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := c.Build(ctx, client.SolveOpt{LocalMounts: mounts}, "", func(
				ctx context.Context, c gateway.Client,
			) (*gateway.Result, error) {
				close(begun)
				<-ask
				return c.Solve(ctx, gateway.SolveRequest{
					Frontend: "gateway.v0", Evaluate: true,
					FrontendOpt: map[string]string{"source": "docker/dockerfile:1"},
				})
			}, nil)
			ended <- err
		}()
		select {
		case <-begun:
		case <-time.After(time.Minute):
			t.Fatal("the build doesn't begin")
		}
		return ask, ended
	}
	running := func(seconds string) *harness.Process {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox\nRUN sleep " + seconds + "; echo woken\n",
		})
		p := g.Start(t, g.BuildxCommand(dir, "build", "--no-cache", "--progress=plain", "."))
		require.True(t, harness.Poll(time.Minute, func() bool {
			return len(processesWith(seconds)) > 0
		}), "%s", p.Output())
		return p
	}
	build := func() harness.Output { return g.Buildx(t, dir, "build", "--progress=plain", ".") }
	change := func(text string) {
		require.NoError(t, os.WriteFile(g.Policy+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(g.Policy+".new", g.Policy))
	}
	strict := strings.Replace(guardPolicy, `"docker/dockerfile"`, `"other/dockerfile"`, 1)
	const refused = "no rule allows docker/dockerfile:1"
	const again = "the policy has changed since the build began; build again"

	changes := map[string]struct {
		to      string // "" is no file
		refused bool   // of builds that begin after the change
	}{
		"a policy that is tightened":  {strict, true},
		"a policy that breaks":        {"version: 1\nfrontends: {\n", false},
		"a policy of another version": {"version: 99\n", false},
		"an empty file":               {"\n", false},
		"no file":                     {"", false},
	}
	i := 0
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		tc := changes[name]
		i++
		seconds := strconv.Itoa(31537100 + i)
		t.Run(name, func(t *testing.T) {
			change(guardPolicy)
			build().RequireSuccess(t)
			ask, ended := begin()
			runs := running(seconds)
			if tc.to == "" {
				require.NoError(t, os.Remove(g.Policy))
			} else {
				change(tc.to)
			}
			if tc.refused {
				build().RequireFailure(t, refused)
			} else {
				build().RequireSuccess(t)
				require.Contains(t, g.Log(), "the last good one stays in force")
			}
			close(ask)
			if err := <-ended; tc.refused {
				require.ErrorContains(t, err, again)
			} else {
				require.NoError(t, err)
			}
			require.Len(t, processesWith(seconds), 1, "it still runs")
			wake(t, seconds)
			require.Contains(t, runs.Wait(t).RequireSuccess(t).Text(), "woken")
		})
	}

	t.Run("a policy that breaks after it was tightened", func(t *testing.T) {
		change(strict)
		build().RequireFailure(t, refused)
		change("version: 1\nfrontends: {\n")
		build().RequireFailure(t, refused)
		ask, ended := begin()
		change(guardPolicy)
		build().RequireSuccess(t)
		close(ask)
		require.ErrorContains(t, <-ended, again, "it began under the strict one")
	})
}

// The history leaves out what buildx looks up, and shows what is built, whatever the client asks.
func TestGuardHidesNoBuildsFromTheHistory(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))
	mounts := mountsOf(t, dir)
	recorded := func(d *harness.Daemon) int { return len(records(t, d, 0, false)) }
	hidden := func(d *harness.Daemon, out string) error {
		ctx, c := buildkitClient(t, d)
		opt := client.SolveOpt{Internal: true, LocalMounts: mounts}
		if out != "" {
			opt.Exports = []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}}
		}
		_, err := c.Build(ctx, opt, "", func(
			ctx context.Context, c gateway.Client,
		) (*gateway.Result, error) {
			return c.Solve(ctx, gateway.SolveRequest{
				Frontend: "gateway.v0", Evaluate: true,
				FrontendOpt: map[string]string{"source": "docker/dockerfile:1"},
			})
		}, nil)
		return err
	}
	before := recorded(g.Behind)
	require.NoError(t, hidden(g.Behind, ""))
	require.Equal(t, before, recorded(g.Behind), "on the bare daemon, nobody sees the build")
	require.ErrorContains(t, hidden(g.Daemon, ""), "keeps this build out of the history")
	require.Equal(t, before, recorded(g.Behind))

	out := t.TempDir()
	require.NoError(t, hidden(g.Daemon, out))
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	require.Equal(t, before+1, recorded(g.Behind), "what is exported is shown")

	o := g.Buildx(t, dir, "build", "--call=targets", ".").RequireSuccess(t)
	require.Contains(t, o.Text(), "TARGET")
	require.Equal(t, before+1, recorded(g.Behind), "buildx keeps --call out of the history")
}
