package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// A client can answer the daemon's questions about sources itself, and so swap the inner image. It
// can do so when the daemon resolves the image, or when it loads it. The guard does both before the
// nested gateway does, and so finds out.
func TestASessionPolicyThatSwapsTheInnerImage(t *testing.T) {
	env.Needs(t, "v0.26.0", "it asks no client about sources")
	us := env.WithPolicy(t, corpPolicy)
	d := env.SolePermitted(t)
	for name, swaps := range map[string]func(*policysession.CheckPolicyRequest) bool{
		"where it is resolved": func(r *policysession.CheckPolicyRequest) bool {
			return r.Platform ==
				nil
		},
		"where it is loaded": func(r *policysession.CheckPolicyRequest) bool { return r.Platform != nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := client.New(t.Context(), d.Addr)
			require.NoError(t, err)
			defer c.Close()
			files, err := fsutil.NewFS(harness.WriteContext(t, map[string]string{"Dockerfile": goodFile}))
			require.NoError(t, err)
			answer := func(
				_ context.Context, req *policysession.CheckPolicyRequest,
			) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
				if strings.Contains(req.Source.Source.Identifier, "docker/dockerfile:1@") && swaps(req) {
					return &policysession.DecisionResponse{
						Action: spb.PolicyAction_CONVERT,
						Update: &pb.SourceOp{Identifier: "docker-image://docker.io/" + evil},
					}, nil, nil
				}
				return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
			}
			_, err = c.Solve(t.Context(), nil, client.SolveOpt{
				Frontend:             "gateway.v0",
				FrontendAttrs:        map[string]string{"source": us},
				LocalMounts:          map[string]fsutil.FS{"context": files, "dockerfile": files},
				SourcePolicyProvider: policysession.NewPolicyProvider(answer),
			}, nil)
			require.ErrorContains(t, err, "frontend docker/dockerfile:1 is refused: ")
		})
	}
	t.Cleanup(func() { requireNoEvil(t) })
}
