package guard

import (
	"context"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
)

// sessionAttrs are the attributes of sources that name the session to read from.
var sessionAttrs = []string{pb.AttrLocalSessionID, pb.AttrOCILayoutSessionID}

// answer answers the daemon's question whether the build may read a source. It is called for each
// source, whoever asks for it.
//
// Before a frontend is chosen, the guard alone reads: the build file and the frontend's image. Both
// have been judged before the call that reads them.
func (b *build) answer(
	_ context.Context, req *policysession.CheckPolicyRequest,
) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
	b.mu.Lock()
	choice, reading := b.choice, b.reading
	b.mu.Unlock()
	source := req.GetSource().GetSource()
	why := choice.Refuses(source)
	if why == "" && choice == nil && !reading {
		why = "no frontend was allowed in this build"
	}
	for _, attr := range sessionAttrs {
		if id := source.GetAttrs()[attr]; why == "" && id != "" && !b.guard.sessions.owns(id, b.who) {
			why = "it would read from the session of another client"
		}
	}
	if why == "" {
		return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
	}
	b.guard.logRefusal(b.who, "a source", why)
	return &policysession.DecisionResponse{
		Action:       spb.PolicyAction_DENY,
		DenyMessages: []*policysession.DenyMessage{{Message: "policy-guard: " + why}},
	}, nil, nil
}
