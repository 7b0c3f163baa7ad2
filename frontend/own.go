package frontend

import (
	"context"
	"errors"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Own returns the choice for a build in which a client asks the daemon for things by itself, and
// for no frontend. c is the daemon's end of the build, with the options that the client sent.
//
// The choice's Decision is that on LLB ([policy.Layers.LLB]), which may be a denial: what a build
// reads before its frontend is known, it may read without LLB being allowed. See
// [Choice.Definition]. The error is as that of [Frontend.Choose].
func (f Frontend) Own(ctx context.Context, c client.Client) (*Choice, error) {
	b := f.newBuild(c)
	b.sent = c.BuildOpts().Opts
	if err := b.checkOptions(); err != nil {
		_, err := b.settle(ctx, nil, err)
		return nil, err
	}
	var err error
	if b.layers, err = b.loadPolicies(); err != nil {
		_, err := b.settle(ctx, nil, b.refuse(request{}, err))
		return nil, err
	}
	choice := &Choice{Decision: b.layers.LLB(b.now)}
	if f.Apart != nil && choice.Decision.Verdict.Permits() {
		id, _, err := f.Apart(b.layers, choice.Decision) // a client's own LLB has no cache mounts
		if err != nil {
			_, err := b.settle(ctx, nil, b.refuse(request{}, err))
			return nil, err
		}
		b.keepApart(id, "")
	}
	choice.monitor = b.newMonitor(admitted{decision: choice.Decision})
	choice.readers = b.readers()
	return choice, nil
}

// IsOwn reports whether the choice comes from [Frontend.Own].
func (c *Choice) IsOwn() bool { return c != nil && c.readers != nil }

// Exportable reports whether the result of a definition that a client made may go anywhere; see
// [policy.Decision.Exportable].
func (c *Choice) Exportable() bool { return c.Decision.Exportable() }

// Definition checks a definition that a client made. It returns the source policies under which the
// daemon may solve it, and whether the client may only read the result.
//
// If the policy allows LLB, its build rules say what the definition may have, and a definition may
// use nothing that commands of all clients share. Whatever it says about LLB, the definition may
// read one source that a build may read as its context, and select files of it. Clients read remote
// build files and the like in this way. The error is a [*DenialError].
func (c *Choice) Definition(
	ctx context.Context, def *pb.Definition,
) (policies []*spb.Policy, readOnly bool, err error) {
	policies, err = c.monitor.ownDefinition(ctx, def)
	if err != nil && llbops.SoleSource(def) != "" {
		var unread error
		policies, unread = byReaders(c.readers, func(m *monitor) ([]*spb.Policy, error) {
			return m.definition(ctx, def)
		})
		if unread == nil {
			return policies, true, nil
		}
		if !c.Decision.Verdict.Permits() { // the source is why it is refused
			err = unread
		}
	}
	return policies, false, c.monitor.refusal(ctx, err)
}

// ownDefinition is [monitor.definition] for a definition that a client made.
func (m *monitor) ownDefinition(ctx context.Context, def *pb.Definition) ([]*spb.Policy, error) {
	if !m.inner.decision.Verdict.Permits() {
		return nil, &refusal{decision: m.inner.decision}
	}
	if err := m.ownApart(def); err != nil {
		return nil, err
	}
	policies, err := m.definition(ctx, def)
	if err != nil {
		return nil, err
	}
	what, err := llbops.Shared(def)
	if err != nil {
		return nil, err
	}
	if what != "" {
		return nil, m.refuseUnknown("%s", what)
	}
	return policies, nil
}

// refusal returns the [*DenialError] for what a client asked for by itself. No frontend and no
// build file takes part in it.
func (m *monitor) refusal(ctx context.Context, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	own := refusal{origin: r.origin, decision: r.decision, cause: r.cause}
	if own.origin.kind == fromInner {
		own.origin = origin{}
	}
	if d := r.decision; d.Requested == "" { // a reader's, which doesn't say what is refused
		own.decision = m.inner.decision.Overrule(policy.Ruling{
			Rule: d.Rule, Layer: d.Layer, Reason: d.Reason, Messages: d.Messages, Allowed: d.Allowed,
			Contact: d.Contact,
		})
	}
	_, err = m.build.settle(ctx, nil, &own)
	return err
}

// judgeOwn is [Choice.Judge] for a choice of [Frontend.Own].
func (c *Choice) judgeOwn(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (*pb.SourceOp, error) {
	var refused error
	if c.Decision.Verdict.Permits() {
		instead, err := c.monitor.judgeIfBound(ctx, source, platform)
		if err == nil {
			return instead, nil
		}
		refused = err
	}
	read := source
	_, err := byReaders(c.readers, func(m *monitor) ([]*spb.Policy, error) {
		instead, err := m.judgeIfBound(ctx, read, platform)
		if err == nil && instead != nil {
			read = instead
		}
		return nil, err
	})
	switch {
	case err != nil && refused != nil:
		return nil, refused
	case err != nil:
		return nil, err
	case read == source:
		return nil, nil
	}
	return read, nil
}

// judgeIfBound is [monitor.judge] where rules restrict sources.
func (m *monitor) judgeIfBound(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (*pb.SourceOp, error) {
	if !m.inner.decision.RestrictsSources() {
		return nil, nil
	}
	return m.judge(ctx, source, platform)
}

// ResolveSourceMeta has the daemon look up a source for a client that the policy lets the build
// read. The request's own source policies hold too. The error is the daemon's or a [*DenialError].
func (c *Choice) ResolveSourceMeta(
	ctx context.Context, daemon gwpb.LLBBridgeClient, req *gwpb.ResolveSourceMetaRequest,
) (*gwpb.ResolveSourceMetaResponse, error) {
	policies, instead, err := c.lookUp(ctx, func(m *monitor) (
		[]*spb.Policy, imageref.Reference, error,
	) {
		return m.sourceMeta(ctx, req)
	})
	if err != nil {
		return nil, err
	}
	req.SourcePolicies = append(req.SourcePolicies, policies...)
	resp, err := daemon.ResolveSourceMeta(ctx, req)
	c.monitor.handOut(instead, resp.GetImage().GetDigest())
	return resp, err
}

// ResolveImageConfig is [Choice.ResolveSourceMeta] for older clients.
func (c *Choice) ResolveImageConfig(
	ctx context.Context, daemon gwpb.LLBBridgeClient, req *gwpb.ResolveImageConfigRequest,
) (*gwpb.ResolveImageConfigResponse, error) {
	policies, instead, err := c.lookUp(ctx, func(m *monitor) (
		[]*spb.Policy, imageref.Reference, error,
	) {
		return m.imageConfig(ctx, req)
	})
	if err != nil {
		return nil, err
	}
	req.SourcePolicies = append(req.SourcePolicies, policies...)
	resp, err := daemon.ResolveImageConfig(ctx, req)
	c.monitor.handOut(instead, resp.GetDigest())
	return resp, err
}

// lookUp checks a look-up by the decision, or by those under which a build may read it.
func (c *Choice) lookUp(
	ctx context.Context, by func(*monitor) ([]*spb.Policy, imageref.Reference, error),
) (policies []*spb.Policy, instead imageref.Reference, err error) {
	if !c.IsOwn() || c.Decision.Verdict.Permits() {
		policies, instead, err = by(c.monitor)
		if err == nil || !c.IsOwn() {
			return policies, instead, c.monitor.refusal(ctx, err)
		}
	}
	policies, unread := byReaders(c.readers, func(m *monitor) ([]*spb.Policy, error) {
		of, _, err := by(m)
		return of, err
	})
	if unread == nil || err == nil {
		err = unread
	}
	return policies, instead, c.monitor.refusal(ctx, err)
}
