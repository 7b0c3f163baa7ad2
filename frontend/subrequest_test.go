package frontend

import (
	"context"
	"errors"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// A check looks up the images of all stages, and answers with an error for one that it can't have.
func TestARefusedLookupForASubrequest(t *testing.T) {
	t.Parallel()
	lookUp := func(ctx context.Context, s *broker) error {
		_, err := s.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
			Source: &pb.SourceOp{Identifier: "docker-image://docker.io/evil/base:1"},
		})
		return err
	}
	solve := func(ctx context.Context, s *broker, image string) error {
		_, err := s.Solve(ctx, &gwpb.SolveRequest{Definition: marshalState(t, llb.Image(image))})
		return err
	}
	answer := func(ctx context.Context, s *broker, ref string) error {
		_, err := s.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{
			Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: ref}},
			Metadata: map[string][]byte{metaResultText: []byte("an error in line 1")},
		}})
		return err
	}
	for name, tt := range map[string]struct {
		request  string
		frontend func(context.Context, *broker) error
		answered bool
	}{
		"an answer without it": {"frontend.lint", func(ctx context.Context, s *broker) error {
			return answer(ctx, s, "")
		}, true},
		"an error": {"frontend.outline", func(ctx context.Context, s *broker) error {
			_, err := s.Return(ctx, &gwpb.ReturnRequest{
				Error: status.New(codes.Unknown, "no image").Proto(),
			})
			return err
		}, false},
		"an end without an answer": {"frontend.lint", func(context.Context, *broker) error {
			return errors.New("crashed")
		}, false},
		"a result that can be exported": {"frontend.lint", func(ctx context.Context, s *broker) error {
			if err := solve(ctx, s, "mirror.corp/base:1"); err != nil {
				return err
			}
			return answer(ctx, s, "solved")
		}, false},
		"a refused image in a definition": {"frontend.lint", func(ctx context.Context, s *broker) error {
			_ = solve(ctx, s, "docker.io/evil/base:1")
			return answer(ctx, s, "")
		}, false},
		"an answer without it, and no question": {"", func(ctx context.Context, s *broker) error {
			return answer(ctx, s, "")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := map[string]string{optionkeys.Source: "corp/policy-frontend:v1"}
			if tt.request != "" {
				opts[keyRequestID] = tt.request
			}
			m := monitorOf(t, &fakeClient{opts: opts}, mediated)
			d := &fakeDaemon{}
			c := gwpb.NewLLBBridgeClient(d)
			m.build.bridge = &bridge{LLBBridgeClient: c, raw: c}
			m.build.deadline = m.build.deadline.AddDate(9000, 0, 0)
			res, err := m.build.serveInner(t.Context(), m.inner, m,
				func(ctx context.Context, s *broker) error {
					require.ErrorContains(t, lookUp(ctx, s), "evil/base:1", "the lookup is refused")
					require.Empty(t, d.passed)
					return tt.frontend(ctx, s)
				})
			if tt.answered {
				require.NoError(t, err)
				require.Contains(t, res.Metadata, metaResultText)
				return
			}
			var r *refusal
			require.ErrorAs(t, err, &r)
			require.Contains(t, r.decision.Reason, "evil/base:1")
		})
	}
}
