package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// admitted is a request that the policy allows.
type admitted struct {
	request
	decision policy.Decision // its Reference carries the digest that was judged
	config   []byte          // of the image, if the digest was looked up
}

func (a admitted) pinned() imageref.Reference { return a.decision.Reference }

// authorize decides on a request: on the name first, so that nothing is asked of the
// registry for a frontend that is refused anyway, then on the digest that the tag
// has now. Whatever isn't a clear yes is a refusal.
func (b *build) authorize(ctx context.Context, r request) (admitted, error) {
	self, err := b.opts.Self()
	if err != nil {
		return admitted{}, b.refuse(r, err)
	}
	req := policy.Request{
		Requested:     r.written,
		Reference:     r.ref,
		Self:          self,
		NamedContexts: b.opts.NamedContexts(),
		Options:       b.opts.Visible(),
		Inputs:        slices.Sorted(maps.Keys(b.inputs)),
		Time:          b.now,
	}
	d := policy.Decide(b.layers, req)
	var config []byte
	if runs(d) && d.Dispatch == policy.DispatchBuiltin && d.Reference.Digest() == "" {
		return admitted{request: r, decision: d}, nil // no image runs
	}
	if d.Verdict != policy.Deny && (d.Reference.Digest() == "" || d.TagUnverified) {
		now, of, err := b.resolve(ctx, r, d.Reference.Tagged())
		if err != nil {
			return admitted{}, err
		}
		if d.Reference.Digest() == "" {
			req.Digest, config = now, of
		} else {
			req.TagDigest = now
		}
		d = policy.Decide(b.layers, req)
	}
	if !runs(d) {
		return admitted{}, &refusal{origin: r.origin, decision: d}
	}
	if d.Reference.Digest() == "" || d.TagUnverified {
		return admitted{}, b.refuse(r, errors.New("internal: it was allowed without its digest being known"))
	}
	return admitted{request: r, decision: d, config: config}, nil
}

// resolve asks the daemon for the digest of a reference and the configuration of
// the image, under a guard.
func (b *build) resolve(ctx context.Context, r request, ref imageref.Reference) (digest.Digest, []byte, error) {
	// Daemons before the meta resolver have no guard on a resolve: grpcclient would
	// fall back to a call that drops the source policies.
	caps := b.client.BuildOpts().Caps
	if err := caps.Supports(gwpb.CapSourceMetaResolver); err != nil {
		return "", nil, b.refuse(r, fmt.Errorf("this BuildKit can't resolve a frontend under a source policy, v0.14 or later is needed: %w", err))
	}
	// With the image's config: NoConfig returns an empty digest and no error.
	res, err := b.client.ResolveSourceMetadata(ctx, &pb.SourceOp{Identifier: dockerImageProto + ref.String()}, sourceresolver.Opt{
		LogName:        "[policy] resolve frontend " + ref.Familiar(),
		ImageOpt:       &sourceresolver.ResolveImageOpt{},
		SourcePolicies: onlyImage(ref),
	})
	if err != nil {
		return "", nil, b.refuseUnreadable(ctx, r, err)
	}
	if res.Image == nil || res.Image.Digest.Validate() != nil {
		return "", nil, b.refuse(r, errors.New("the daemon names no digest for it"))
	}
	return res.Image.Digest, res.Image.Config, nil
}

// loadGuarded has the daemon load the image that is about to run, under a guard that denies
// everything else, and does meanwhile in others what the build has to wait for too.
//
// Load solves the image's definition with onlyImage(a.pinned()). The name of its step is
// the line of progress that a person sees; warnings are attached to it.
func (b *build) loadGuarded(ctx context.Context, a admitted, load func(context.Context, *llb.Definition) error, others ...func() error) error {
	def, err := llb.Image(a.pinned().String(), llb.WithCustomName(progressLine(a.decision))).Marshal(ctx)
	if err != nil {
		return err
	}
	if b.step, err = def.Head(); err != nil {
		return err
	}
	var meanwhile errgroup.Group
	for _, other := range others {
		meanwhile.Go(other)
	}
	if err = load(ctx, def); err != nil {
		err = b.refuseUnreadable(ctx, a.request, err)
	}
	if refused := meanwhile.Wait(); refused != nil {
		return refused
	}
	if err == nil {
		b.warn(ctx, a)
	}
	return err
}

// deniedByGuard is how the daemon words what a guard denies (sourcepolicy/engine.go,
// ErrSourceDenied); the error has no type that crosses the gateway. Nothing is
// decided by it but the words of the message.
const deniedByGuard = "denied by policy"

// refuseUnreadable refuses a frontend whose image the daemon did not read under
// the guard, whether it isn't there or a client's source policy replaces it. A
// build that was cancelled is not refused, it just ends.
func (b *build) refuseUnreadable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if strings.Contains(err.Error(), deniedByGuard) {
		return b.refuse(r, fmt.Errorf("no source policy of the client may replace its image: %w", err))
	}
	unread := b.refuse(r, fmt.Errorf("its image can't be read: %w", err))
	unread.cause = err
	return unread
}

// onlyImage is a source policy under which the image ref, whole, is the one source
// that can be read. The daemon evaluates it again after any conversion by a
// client's source policy (sourcepolicy/engine.go).
func onlyImage(ref imageref.Reference) []*spb.Policy {
	s := newSelectors()
	return []*spb.Policy{{Version: 1, Rules: []*spb.Rule{
		{Action: spb.PolicyAction_DENY, Selector: s.matching(startingWith(""), nil)},
		// A conversion may keep the identifier and cut layers off the image.
		{Action: spb.PolicyAction_ALLOW, Selector: s.matching(exactly(dockerImageProto+ref.String()), map[string]string{pb.AttrImageLayerLimit: ""})},
	}}}
}
