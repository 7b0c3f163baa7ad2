package guard

import (
	"context"
	"errors"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// atIdle is the progress of a build of which no step runs.
func atIdle() *controlapi.StatusResponse {
	at := timestamppb.New(time.Unix(1, 0))
	return &controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{
		{Digest: "sha256:done", Name: "[2/2] RUN fetch", Started: at, Completed: at},
	}}
}

// evaluating begins a build, and a call that evaluates its result. Nil is progress in which a step
// runs.
func evaluating(t *testing.T, progress *controlapi.StatusResponse) (
	*fakeDaemon, *Guard, gwpb.LLBBridgeClient, context.Context, *gwpb.Result, chan error,
) {
	t.Helper()
	d, g, c, ctx, ended := downloading(t, onDownloads)
	d.evaluates, g.lateTime = make(chan struct{}), 3*time.Second
	if progress != nil {
		d.progress, g.lateTime = progress, soon
	}
	resp, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	go func() {
		_, _ = c.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: resp.Result.GetRef().GetId()})
	}()
	d.await(t, "LLBBridge/Evaluate")
	return d, g, c, ctx, resp.Result, ended
}

func TestAResultIsReturnedWhenNoCallEvaluates(t *testing.T) {
	t.Parallel()
	d, _, c, ctx, result, _ := evaluating(t, atIdle())
	_, err := c.Return(ctx, &gwpb.ReturnRequest{Result: canonical(result)})
	require.NoError(t, err)
	select {
	case <-d.evaluates:
	default:
		t.Fatal("the call goes on behind the end of its build")
	}
	d.await(t, "LLBBridge/Return")
	_, err = c.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: result.GetRef().GetId()})
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "the build has returned its result")
}

// The daemon says that the step of the call still runs.
func TestABuildWhoseCommandsGoOnReturnsNothing(t *testing.T) {
	t.Parallel()
	d, _, c, ctx, result, ended := evaluating(t, nil)
	_, err := c.Return(ctx, &gwpb.ReturnRequest{Result: canonical(result)})
	requireCode(t, codes.Aborted, err)
	require.ErrorContains(t, err, "commands of a call that failed or was ended early still run")
	require.ErrorContains(t, <-ended, "commands of a call that failed or was ended early still run")
	for _, call := range d.all() {
		require.NotContains(t, call.method, "Return")
	}
}

func TestABuildOfWhichNothingIsKnownYetIsNotIdle(t *testing.T) {
	t.Parallel()
	d, _, c, ctx, result, _ := evaluating(t, nil)
	d.silence = 2 * idlePause
	_, err := c.Return(ctx, &gwpb.ReturnRequest{Result: canonical(result)})
	requireCode(t, codes.Aborted, err)
}

// A call that fails may leave commands of other steps behind, which the daemon is about to end.
func TestABuildWithAFailedCallEndsAfterItsCommands(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		progress *controlapi.StatusResponse // nil: a step runs
		code     codes.Code
	}{
		"no step runs":      {atIdle(), codes.OK},
		"a step still runs": {nil, codes.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g, c, ctx, _ := downloading(t, onDownloads)
			d.evaluateFails, g.lateTime = errors.New("exit code: 1"), 3*time.Second
			if tc.progress != nil {
				d.progress, g.lateTime = tc.progress, soon
			}
			resp, err := c.Solve(ctx, asking("docker/dockerfile:1"))
			require.NoError(t, err)
			_, err = c.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: resp.Result.GetRef().GetId()})
			require.ErrorContains(t, err, "exit code: 1")
			_, err = c.Return(ctx, &gwpb.ReturnRequest{Error: status.Convert(err).Proto()})
			require.Equal(t, tc.code, status.Code(err), err)
		})
	}
}

// Calls that evaluate end first, then the build.
func TestABuildThatIsRefusedADownloadEndsAfterItsCalls(t *testing.T) {
	t.Parallel()
	d, g, _, ctx, _, ended := evaluating(t, atIdle())
	b, ask := asker(ctx, t, g)
	require.NotEmpty(t, ask("https://evil.example/a"))
	select {
	case <-d.evaluates:
	default:
		t.Fatal("the call goes on behind the end of its build")
	}
	requireCode(t, codes.PermissionDenied, <-ended)
	require.True(t, b.evaluations.over)
}
