package guard

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/policy-frontend/policy-frontend/policy"
)

// broken panics.
type broken struct{ unobserved }

func (broken) Decided(policy.Decision, time.Duration) { panic("it broke") }
func (broken) Answered(bool, time.Duration)           { panic("it broke") }

func TestAPanicEndsNothingButWhatItWasFor(t *testing.T) {
	t.Parallel()

	t.Run("a call", func(t *testing.T) {
		t.Parallel()
		d, g := newDaemon(t)
		var log bytes.Buffer
		g.observe, g.log = broken{}, slog.New(slog.NewTextHandler(&log, nil))
		c, ctx := begunBefore(t, d, g)
		_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
		requireCode(t, codes.Internal, err)
		require.Contains(t, log.String(), "it broke")
		require.Contains(t, log.String(), "contain_test.go", "the stack tells where")
		require.Empty(t, frontendRuns(d))
		_, err = c.Ping(ctx, &gwpb.PingRequest{})
		require.NoError(t, err, "the build goes on")
	})

	t.Run("what the guard asks for in the client's place", func(t *testing.T) {
		t.Parallel()
		d, g := newDaemon(t)
		g.observe = broken{}
		conn := as(t, g, "alice")
		go func() {
			_, _ = controlapi.NewControlClient(conn).Solve(of(t), &controlapi.SolveRequest{
				Ref: "b", Session: "s1", Frontend: "gateway.v0",
				FrontendAttrs: map[string]string{"source": "docker/dockerfile:1"},
			})
		}()
		ret := <-d.returned
		require.Equal(t, int32(codes.Internal), ret.GetError().GetCode())
	})

	t.Run("an answer to the daemon", func(t *testing.T) {
		t.Parallel()
		_, g := newDaemon(t)
		g.observe = broken{}
		b := &build{guard: g, who: "alice"}
		_, _, err := b.observedAnswer(t.Context(), &policysession.CheckPolicyRequest{
			Source: &gwpb.ResolveSourceMetaResponse{Source: &pb.SourceOp{Identifier: "git://x"}},
		})
		requireCode(t, codes.Internal, err)
	})
}
