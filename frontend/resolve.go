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

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// admitted is a request that the policy allows.
type admitted struct {
	request
	decision policy.Decision // its Reference carries the allowed digest
	config   []byte          // of the image, if the digest was looked up
}

func (a admitted) pinned() imageref.Reference { return a.decision.Reference }

// authorize decides on a request. It decides on the name first, so the registry is asked nothing
// about a frontend that is refused anyway. Then it decides on the digest that the tag has now.
// Whatever isn't a clear yes is a refusal.
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
		InputSources:  make(map[string]buildrules.Kind, len(b.inputs)),
		Nested:        b.nested,
		Time:          b.now,
	}
	for name, def := range b.inputs {
		req.InputSources[name] = llbops.SoleSource(def)
	}
	d := policy.Decide(b.layers, req)
	var config []byte
	if d.Verdict.Permits() && d.Dispatch == policy.DispatchBuiltin && d.Reference.Digest() == "" {
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
	if !d.Verdict.Permits() {
		return admitted{}, &refusal{origin: r.origin, decision: d}
	}
	if d.Reference.Digest() == "" || d.TagUnverified {
		return admitted{}, b.refuse(r,
			errors.New("internal: it was allowed although its digest isn't known"))
	}
	return admitted{request: r, decision: d, config: config}, nil
}

// resolve asks the daemon, under a guard, for the digest of a reference and the configuration of
// its image.
func (b *build) resolve(
	ctx context.Context, r request, ref imageref.Reference,
) (digest.Digest, []byte, error) {
	// Older daemons can't resolve under a guard: grpcclient would fall back to a call
	// without source policies.
	caps := b.client.BuildOpts().Caps
	if err := caps.Supports(gwpb.CapSourceMetaResolver); err != nil {
		return "", nil, b.refuse(r, fmt.Errorf(
			"this BuildKit can't resolve a frontend under a source policy; use v0.14 or later: %w",
			err))
	}
	// The request includes the image's configuration: with NoConfig, the digest is empty.
	op := &pb.SourceOp{Identifier: dockerImageProto + ref.String()}
	res, err := b.client.ResolveSourceMetadata(ctx, op, sourceresolver.Opt{
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
// everything else. In parallel it calls others, which the build also has to wait for.
//
// load solves the image's definition under onlyImage(a.pinned()). The name of its step is the
// progress line that a person sees, and warnings are attached to that step.
func (b *build) loadGuarded(
	ctx context.Context, a admitted, load func(context.Context, *llb.Definition) error,
	others ...func() error,
) error {
	def, err := b.imageLine(ctx, a)
	if err != nil {
		return err
	}
	return b.loadLine(ctx, a, def, load, others...)
}

// imageLine makes the step that loads the image of a frontend. Its progress line names rule and
// frontend.
func (b *build) imageLine(ctx context.Context, a admitted) (*llb.Definition, error) {
	named := llb.WithCustomName(progressLine(a.decision))
	return b.line(ctx, llb.Image(a.pinned().String(), named))
}

// line returns the definition of a step to which the build's warnings are attached from now on.
func (b *build) line(ctx context.Context, st llb.State) (*llb.Definition, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	b.step, err = def.Head()
	return def, err
}

// loadLine is [build.loadGuarded] with the step that [build.imageLine] has made.
func (b *build) loadLine(
	ctx context.Context, a admitted, def *llb.Definition,
	load func(context.Context, *llb.Definition) error, others ...func() error,
) error {
	var meanwhile errgroup.Group
	for _, other := range others {
		meanwhile.Go(other)
	}
	err := load(ctx, def)
	if err != nil {
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

// deniedByGuard is a part of the daemon's error when a guard denies a source
// (sourcepolicy/engine.go, ErrSourceDenied). The error has no type that crosses the gateway. The
// comparison only chooses the words of a message.
const deniedByGuard = "denied by policy"

// refuseUnreadable refuses a frontend whose image the daemon didn't read under the guard. The image
// may be missing, or a client's source policy may replace it. A cancelled build isn't refused: it
// just ends.
func (b *build) refuseUnreadable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if strings.Contains(err.Error(), deniedByGuard) {
		return b.refuse(r,
			fmt.Errorf("no source policy of the client may replace its image: %w", err))
	}
	unread := b.refuse(r, fmt.Errorf("its image can't be read: %w", err))
	unread.cause = err
	return unread
}

// onlyImage returns a source policy under which the whole image ref is the only source that can be
// read. The daemon evaluates it again after each conversion by a client's source policy
// (sourcepolicy/engine.go).
func onlyImage(ref imageref.Reference) []*spb.Policy {
	s := newSelectors()
	all := s.matching(startingWith(""), nil)
	// A conversion may keep the identifier and remove layers from the image.
	whole := map[string]string{pb.AttrImageLayerLimit: ""}
	image := s.matching(exactly(dockerImageProto+ref.String()), whole)
	return []*spb.Policy{{Version: 1, Rules: []*spb.Rule{
		{Action: spb.PolicyAction_DENY, Selector: all},
		{Action: spb.PolicyAction_ALLOW, Selector: image},
	}}}
}
