package guard

import (
	"context"
	"errors"
	"fmt"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// answerTimeout bounds the time for an answer. The guard may look up a tag for it.
const answerTimeout = time.Minute

// sourceDenied begins what a client reads about a source that was denied. The refusal is logged
// when the daemon asks.
const sourceDenied = "policy-guard: "

// answer answers the daemon's question whether the build may read a source. It is called for each
// source, whoever asks for it.
//
// If the daemon has to read another source, it asks about that one again. It asks at most ten times
// about a source (solver/llbsolver/policy.go). Two answers change it at most: the first says what
// is read instead and from which session, and an image that was read instead is pinned.
func (b *build) answer(
	ctx context.Context, req *policysession.CheckPolicyRequest,
) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.guard.answerTimeout,
		fmt.Errorf("it could not be judged within %s", b.guard.answerTimeout))
	defer cancel()
	source := req.GetSource().GetSource()
	instead, err := b.judgeQuestion(ctx, source, req.GetPlatform())
	switch {
	case err != nil:
		return &policysession.DecisionResponse{
			Action:       spb.PolicyAction_DENY,
			DenyMessages: []*policysession.DenyMessage{{Message: sourceDenied + err.Error()}},
		}, nil, nil
	case instead != nil:
		return &policysession.DecisionResponse{
			Action: spb.PolicyAction_CONVERT, Update: instead,
		}, nil, nil
	}
	b.proof.reads(source, b.account)
	return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
}

// errCommandLate answers a question of a command that the daemon kills.
var errCommandLate = errors.New("the build has ended")

// judgeQuestion judges what the daemon asks about. It returns the source that is read instead; nil
// if there is none. It notes a refusal.
func (b *build) judgeQuestion(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (*pb.SourceOp, error) {
	defer b.downloads.begin()()
	if b.policy.DownloadRules() != "" && b.downloads.isLate() {
		<-ctx.Done() // or a command that is being killed could go on without what it requested
		return nil, errCommandLate
	}
	if b.isDownload(source) {
		instead, err := b.judgeDownload(ctx, source, platform)
		if err != nil {
			b.refuseDownload(ctx, err)
		}
		return instead, err
	}
	own := b.isReading(source)
	if !own && !b.chosen().IsOwnImage(source) {
		b.endStart()
	}
	instead, err := b.judge(ctx, source, platform, own)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	b.record.read(source, instead, own, err)
	if err != nil {
		// A command can ask about anything, in the first line of a request to the proxy.
		b.spoil(errNotServed)
		b.guard.logRefusal(b.who, aSource, err)
		b.record.refused(aSource, err)
	}
	return instead, err
}

// judge judges a source. It returns the source that is read instead; nil if there is none.
//
// What the guard itself is about to read (own) has been judged before. Everything else is judged by
// the decision on the frontend.
func (b *build) judge(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform, own bool,
) (*pb.SourceOp, error) {
	if err := b.checkSessions(source); err != nil {
		return nil, err
	}
	var instead *pb.SourceOp
	if !own {
		var err error
		if instead, err = b.chosen().Judge(ctx, source, platform); err != nil {
			return nil, err
		}
	}
	if instead == nil {
		instead = source
	}
	attr := llbops.SessionAttr(instead)
	switch {
	case attr == "" || instead.GetAttrs()[attr] != "":
	case b.session == "":
		return nil, errors.New("the build has no session to read from")
	default:
		// Without a name, the daemon may read for several clients at once, from any of their sessions
		// (source/local/source.go, snapshotWithAnySession).
		instead = llbops.WithAttr(instead, attr, b.session)
	}
	if instead == source {
		return nil, nil
	}
	return instead, nil
}

// checkSessions refuses a source that names a session which isn't the client's.
func (b *build) checkSessions(source *pb.SourceOp) error {
	for _, attr := range []string{pb.AttrLocalSessionID, pb.AttrOCILayoutSessionID} {
		if id := source.GetAttrs()[attr]; id != "" && !b.guard.sessions.owns(id, b.who) {
			return errors.New("it would read from the session of another client")
		}
	}
	return nil
}
