package guard

import (
	"bytes"
	"log/slog"
	"net"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/policy-frontend/policy-frontend/policy"
)

// broken panics.
type broken struct{ unobserved }

func (broken) Decided(policy.Decision, time.Duration) { panic("it broke") }
func (broken) Answered(bool, time.Duration)           { panic("it broke") }
func (broken) Refused(string, string)                 { panic("it broke") }

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
	t.Run("a handshake", func(t *testing.T) {
		t.Parallel()
		_, g := newDaemon(t)
		var log logged
		g.log = slog.New(slog.NewTextHandler(&log, nil))
		creds := (&identify{
			handshake: func(net.Conn) (net.Conn, caller, error) { panic("it broke") },
		}).countedBy(g.clients)
		a, b := net.Pipe()
		_, _, err := creds.ServerHandshake(a)
		requireCode(t, codes.Internal, err)
		_, err = b.Write([]byte("x"))
		require.Error(t, err, "the connection is closed")
		require.Contains(t, log.String(), "it broke")
		require.Zero(t, g.clients.handshakes.open.Len())
	})

	t.Run("what a client sends", func(t *testing.T) {
		t.Parallel()
		for name, size := range map[string]int{"a small message": 1, "a large one": minTimed} {
			_, g := newDaemon(t)
			var log logged
			g.log = slog.New(slog.NewTextHandler(&log, nil))
			s := newWireCall(t.Context(), g, control+"ListWorkers", metadata.MD{}, make([]byte, size))
			s.ctx = grpc.NewContextWithServerTransportStream(s.ctx, brokenWire{s})
			require.Error(t, s.served(g), name)
			require.Contains(t, log.String(), "it broke", name)
			require.Zero(t, g.Memory(), name)
		}
	})

	t.Run("a policy session", func(t *testing.T) {
		t.Parallel()
		_, g := newDaemon(t)
		b := &build{who: "alice", client: "b", policy: g.policy.current()}
		require.NoError(t, g.begin(t.Context(), b))
		g.daemon = nil // any call of it panics
		_, err := b.openPolicySession()
		require.NoError(t, err)
		<-b.ctx.Done()
		requireCode(t, codes.Aborted, b.broken())
		require.ErrorContains(t, b.broken(), "internal error")
	})

	t.Run("a refusal in the client's place", func(t *testing.T) {
		t.Parallel()
		_, g := newDaemon(t)
		g.observe = broken{}
		_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), &controlapi.SolveRequest{
			Ref: "b", Session: "s1", Frontend: "gateway.v0",
			FrontendAttrs: map[string]string{"source": "evil/frontend:1"},
		})
		requireCode(t, codes.Aborted, err)
		require.ErrorContains(t, err, "internal error")
	})
}

// brokenWire panics as it is read.
type brokenWire struct{ *wireCall }

func (brokenWire) Read(int) (mem.BufferSlice, error) { panic("it broke") }
