package guard

import (
	"context"
	"maps"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
)

// sessionAttr returns the attribute of a source that names the client's session to read from. It is
// "" for a source that is read from no session.
func sessionAttr(source *pb.SourceOp) string {
	scheme, _, _ := strings.Cut(source.GetIdentifier(), "://")
	switch scheme {
	case "local":
		return pb.AttrLocalSessionID
	case "oci-layout", "oci-layout+blob":
		return pb.AttrOCILayoutSessionID
	}
	return ""
}

// sourceDenied begins what a client reads about a source that was denied. The refusal is logged
// when the daemon asks.
const sourceDenied = "policy-guard: "

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
	for _, attr := range []string{pb.AttrLocalSessionID, pb.AttrOCILayoutSessionID} {
		if id := source.GetAttrs()[attr]; why == "" && id != "" && !b.guard.sessions.owns(id, b.who) {
			why = "it would read from the session of another client"
		}
	}
	attr := sessionAttr(source)
	unnamed := attr != "" && source.GetAttrs()[attr] == ""
	if why == "" && unnamed && b.session == "" {
		why = "the build has no session to read from"
	}
	switch {
	case why != "":
		b.guard.logRefusal(b.who, "a source", why)
		return &policysession.DecisionResponse{
			Action:       spb.PolicyAction_DENY,
			DenyMessages: []*policysession.DenyMessage{{Message: sourceDenied + why}},
		}, nil, nil
	case unnamed:
		// Without a name, the daemon may read for several clients at once, from any of their sessions
		// (source/local/source.go, snapshotWithAnySession).
		attrs := maps.Clone(source.GetAttrs())
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[attr] = b.session
		return &policysession.DecisionResponse{
			Action: spb.PolicyAction_CONVERT,
			Update: &pb.SourceOp{Identifier: source.GetIdentifier(), Attrs: attrs},
		}, nil, nil
	}
	return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
}
