package guard

import (
	"context"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
)

// answer answers the daemon's question whether the build may read a source. It is called for each
// source, whoever asks for it.
func (b *build) answer(
	context.Context, *policysession.CheckPolicyRequest,
) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
	return denied("no frontend was allowed in this build"), nil, nil
}

func denied(why string) *policysession.DecisionResponse {
	return &policysession.DecisionResponse{
		Action:       spb.PolicyAction_DENY,
		DenyMessages: []*policysession.DenyMessage{{Message: "policy-guard: " + why}},
	}
}
