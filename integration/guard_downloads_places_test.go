package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// With dispatch: forward, the daemon runs the frontend, and nothing is checked before it returns.
// The daemon asks about the requests all the same, wherever they come from.
func TestAForwardedFrontendUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	frontend := pushProgram(t, "boxer")
	_, build := w.guard(t, fmt.Sprintf(`version: 1
contact: "#build-help"
frontends:
  - name: boxer
    match: [tests/boxer]
    dispatch: forward
    build: {exec: {downloads: {allow: ["%s/allowed/**"]}}}
`, w.http))
	for name, place := range map[string]string{
		"a command of the result":                  "result",
		"a command that it runs before it returns": "before",
		"a command in a container of the frontend": "container",
		"the process of the frontend":              "self",
	} {
		t.Run(name, func(t *testing.T) {
			run := func(way, url string) (harness.Output, string) {
				out := t.TempDir()
				dir := harness.WriteContext(t,
					map[string]string{"Dockerfile": "# syntax=" + frontend + "\n"})
				return build(t, dir, "--build-arg=PLACE="+place, "--build-arg=WAY="+way,
					"--build-arg=URL="+url, "-o", out), filepath.Join(out, "answer")
			}
			o, answer := run("get", w.http+"/allowed/"+place)
			o.RequireSuccess(t)
			require.Contains(t, read(t, answer), "200 served")
			require.Equal(t, 1, w.count("/allowed/"+place))

			o, _ = run("get", w.http+"/denied/"+place)
			o.RequireFailure(t, refusedDownload, w.http+"/denied/"+place, "#build-help")
			require.False(t, w.got("/denied/"+place))

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
