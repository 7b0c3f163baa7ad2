package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// With dispatch: forward, the daemon runs the frontend, and nothing is checked before it returns.
// The daemon asks about the requests all the same, wherever they come from. With dispatch: mediate,
// a frontend's own container asks as a command does.
func TestAFrontendUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	frontend := pushProgram(t, "boxer")
	type builder func(t *testing.T, dir string, args ...string) harness.Output
	under := func(dispatch policy.Dispatch, more string) builder {
		_, build := w.guard(t, fmt.Sprintf(`version: 1
contact: "#build-help"
frontends:
  - name: boxer
    match: [tests/boxer]
    dispatch: %s
    build: {%sexec: {downloads: {allow: ["%s/allowed/**"]}}}
`, dispatch, more, w.http))
		return build
	}
	forwarded, mediated := under(policy.DispatchForward, ""),
		under(policy.DispatchMediate, "containers: allow, ")
	for name, tc := range map[string]struct {
		build builder
		place string
	}{
		"a command of the result":                           {forwarded, "result"},
		"a command that it runs before it returns":          {forwarded, "before"},
		"a command in a container of the frontend":          {forwarded, "container"},
		"the process of the frontend":                       {forwarded, "self"},
		"a command in a container of the mediated frontend": {mediated, "container"},
	} {
		t.Run(name, func(t *testing.T) {
			path := func(start string) string { return start + strings.ReplaceAll(name, " ", "-") }
			run := func(way, url string) (harness.Output, string) {
				out := t.TempDir()
				dir := harness.WriteContext(t,
					map[string]string{"Dockerfile": "# syntax=" + frontend + "\n"})
				return tc.build(t, dir, "--build-arg=PLACE="+tc.place, "--build-arg=WAY="+way,
					"--build-arg=URL="+url, "-o", out), filepath.Join(out, "answer")
			}
			o, answer := run("get", w.http+path("/allowed/"))
			o.RequireSuccess(t)
			require.Contains(t, read(t, answer), "200 served")
			require.Equal(t, 1, w.count(path("/allowed/")))

			o, _ = run("get", w.http+path("/denied/"))
			o.RequireFailure(t, refusedDownload, w.http+path("/denied/"), "#build-help")
			require.False(t, w.got(path("/denied/")))

			o, answer = run("unset", "http://192.0.2.1/")
			o.RequireSuccess(t)
			require.Contains(t, read(t, answer), "network is unreachable")
		})
	}
}

// A container that a client runs by itself asks as a command of its build does.
func TestAClientsContainerUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, _ := w.guard(t, w.policy(fmt.Sprintf(`debug: allow
llb: allow
build:
  exec: {networks: [none, default, host], downloads: {allow: ["%s/allowed/**"]}}
`, w.http)))
	dir := w.dockerfile(t, "true")
	def, err := llb.Image("docker.io/"+w.image).File(llb.Mkfile("/out", 0o644, nil)).
		Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	for name, solve := range map[string]gateway.BuildFunc{
		"on the result of a frontend": func(
			ctx context.Context, c gateway.Client,
		) (*gateway.Result, error) {
			return c.Solve(ctx, gateway.SolveRequest{Frontend: "dockerfile.v0", Evaluate: true})
		},
		"on LLB of the client's own": func(
			ctx context.Context, c gateway.Client,
		) (*gateway.Result, error) {
			return c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(command string) (string, error) {
				return inContainer{
					solve: solve, command: "(" + command + ") >/made 2>&1; echo went on >>/made",
					network: pb.NetMode_UNSET,
				}.run(t, g.Daemon, client.SolveOpt{LocalMounts: mountsOf(t, dir)})
			}
			text, err := run("downloader get " + w.http + "/allowed/debugged")
			require.NoError(t, err)
			require.Contains(t, text, "200 served")

			began := time.Now()
			text, err = run("downloader get " + w.http + "/denied/debugged")
			require.Less(t, time.Since(began), time.Minute, "the client waits for the process")
			require.ErrorContains(t, err, refusedDownload)
			require.ErrorContains(t, err, w.http+"/denied/debugged")
			require.NotContains(t, text, "went on")
			require.False(t, w.got("/denied/debugged"))

			text, err = run("downloader unset http://192.0.2.1/")
			require.NoError(t, err)
			require.Contains(t, text, "network is unreachable")
		})
	}
}
