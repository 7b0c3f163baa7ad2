// Package frontend is the gateway side of the policy frontend. It reads what a build asks of
// BuildKit, has package policy decide, and runs the frontend that was allowed. It decides nothing
// itself.
//
// [Frontend.Build] tells the whole story from top to bottom: request, policy, decision, dispatch,
// report.
package frontend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// DefaultPolicyPath is where the image keeps its policy.
const DefaultPolicyPath = "/etc/policy-frontend/policy.yaml"

// Frontend is the policy frontend with its embedded policy.
type Frontend struct {
	// Policy returns the embedded policy. Each build calls it once. An error refuses the build.
	// [PolicyFile] reads a file.
	Policy func() (*policy.Policy, error)
	// Now is the clock by which rules begin to warn and expire. Nil is the machine's clock.
	Now func() time.Time
	// Log receives what inner frontends write to stderr. Nil discards it.
	Log io.Writer
	// Version is that of the program; "" if it isn't known.
	Version string
	// Client is for Choose, Own and Layers: who builds. Build has it from policy-guard.
	Client clients.Client
	// PolicyFromGuard makes Build take the policy that policy-guard hands over with a build, and
	// refuse a build without one. If there is an embedded policy too, both have to allow the build. It
	// is only for an image that nobody reaches but through policy-guard: others could send any policy.
	//
	// Without it, a policy that comes so is one more layer, as an overlay is.
	PolicyFromGuard bool
	// Mediator is for Choose: the reference of the image to which builds are handed over. "" refuses
	// them.
	Mediator string
	// PolicyText is for Choose: the text of the policy, which is handed over.
	PolicyText PolicyText
	// CacheMounts is for Choose: it separates the cache mounts of a client from those of others.
	CacheMounts string
	// Apart is for Choose and Own: it returns the id by which the commands of an allowed build are
	// kept apart from those of builds with another one, in the form of [apart.ID]; "" if they needn't
	// be. Nil is that none are. It also returns what separates their cache mounts, in the place of
	// CacheMounts; "" for the same. It is called once for each choice.
	Apart func(policy.Layers, policy.Decision) (id, cacheMounts string, err error)
	// Inputs is for Choose: the frontend inputs in the client's request.
	Inputs map[string]*pb.Definition
	// Answered is for Choose: it reports whether a build of the same client has returned a definition
	// with this identity; see [llbops.Identity]. Nil is that none has.
	Answered func(digest.Digest) bool

	bridge *bridge // set by Serve
}

// Build serves one build with the policy at [DefaultPolicyPath]. It is the function that BuildKit's
// gateway client calls (client.BuildFunc).
func Build(ctx context.Context, c client.Client) (*client.Result, error) {
	return Frontend{Policy: PolicyFile(DefaultPolicyPath)}.Build(ctx, c)
}

// Build finds out which frontend the build asks for, decides by the policy whether it may run, and
// runs it. It returns that frontend's result unchanged, with the decision added under
// [MetadataKey].
//
// A refusal is a [*DenialError]. An error of the inner frontend is returned as it is. For
// [PolicySubrequest], Build returns the decision as a result and runs nothing.
func (f Frontend) Build(ctx context.Context, c client.Client) (*client.Result, error) {
	b := f.newBuild(c)
	b.inImage = true
	res, err := b.run(ctx)
	return b.settle(ctx, res, err)
}

// newBuild returns the build of a client.
func (f Frontend) newBuild(c client.Client) *build {
	now := f.Now
	if now == nil {
		now = time.Now
	}
	log := f.Log
	if log == nil {
		log = io.Discard
	}
	b := &build{
		client: c, bridge: f.bridge, log: log, now: now().UTC(),
		opts:    gatewayopts.Parse(c.BuildOpts().Opts),
		version: f.Version, embedded: f.Policy, policyFromGuard: f.PolicyFromGuard, by: f.Client,
	}
	b.file = newBuildFile(ownReads{c, b.checkRead})
	return b
}

// settle turns a *refusal into the answer to [PolicySubrequest] or into a [*DenialError].
func (b *build) settle(
	ctx context.Context, res *client.Result, err error,
) (*client.Result, error) {
	var r *refusal
	switch {
	case errors.As(err, &r) && b.subrequest() == PolicySubrequest:
		res, err = b.answer(ctx, r.origin, r.decision)
	case r != nil:
		err = b.deny(ctx, r)
	}
	if err != nil {
		return nil, withWholeText(err)
	}
	return res, nil
}

// build is one build on its way through the policy frontend.
type build struct {
	client client.Client
	bridge *bridge // nil unless Serve made the client
	log    io.Writer
	nested bool          // another frontend asked for this build
	step   digest.Digest // of the progress line about the frontend; warnings are attached to it
	opts   gatewayopts.Options
	file   *buildFile
	layers policy.Layers
	inputs map[string]*pb.Definition
	now    time.Time
	// fallback is the frontend of a build that asks for none, if the policy has no default; "" for
	// none.
	fallback string
	// deadline is when the time for the build is up that the policy allows, unless it is
	// forwarded. It counts from the start of this process.
	deadline time.Time

	version         string // of the program
	embedded        func() (*policy.Policy, error)
	inImage         bool // [Frontend.Build] decides, and not policy-guard
	policyFromGuard bool
	handed          *gatewayopts.HandOver // by policy-guard; nil for none
	by              clients.Client        // who builds; unknown in Build until it is handed over
	kept            llbops.Kept

	outside // for Choose
}

// run does what [Frontend.Build] says. A refusal is a *refusal.
func (b *build) run(ctx context.Context) (*client.Result, error) {
	chosen, answer, err := b.admit(ctx)
	if err != nil || answer != nil {
		return answer, err
	}
	res, decision, err := b.dispatch(ctx, chosen)
	if b.subrequest() == subrequests.RequestSubrequestsDescribe {
		res, err = describe(res, err)
	}
	if err != nil {
		return nil, err
	}
	return report(res, decision)
}

// admit reads the policies and returns the frontend that the build asks for, if they allow it. For
// [PolicySubrequest], it returns the answer instead.
func (b *build) admit(
	ctx context.Context,
) (chosen admitted, answer *client.Result, err error) {
	var policyErr error
	b.layers, policyErr = b.loadPolicies()
	b.deadline = time.Now().Add(b.layers.Timeout())
	chosen, err = b.choose(ctx, policyErr)
	if err == nil && b.subrequest() == PolicySubrequest {
		answer, err = b.answer(ctx, chosen.origin, chosen.decision)
	}
	return chosen, answer, err
}

// choose returns the frontend that the build asks for, if the policy allows it. policyErr is why
// the policy can't be used. choose reads the build file and looks up images in the time that the
// policy gives the frontend: a silent server holds no build for longer.
func (b *build) choose(ctx context.Context, policyErr error) (admitted, error) {
	timed, cancel := context.WithDeadline(ctx, b.deadline)
	defer cancel()
	requests, err := findRequests(timed, b.opts, b.file, b.layers, b.fallback)
	if policyErr != nil { // the refusal names the requested frontend if it is known
		err = policyErr
	}
	var chosen admitted
	var refused *refusal // to read the build file
	switch {
	case errors.As(err, &refused):
		err = refused
	case err != nil:
		err = b.refuse(firstRequest(requests), err)
	default:
		chosen, err = b.authorizeAll(timed, requests)
	}
	if timed.Err() != nil && ctx.Err() == nil {
		return admitted{}, b.refuse(firstRequest(requests), fmt.Errorf("reading the build file and "+
			"looking up the frontend did not end within %s, which is as long as the limits allow "+
			"(limits.timeout)", b.layers.Timeout()))
	}
	return chosen, err
}

// authorizeAll returns the first request, which is the one that runs. The others only have to be
// allowed.
func (b *build) authorizeAll(ctx context.Context, requests []request) (admitted, error) {
	var err error
	if b.inputs, err = marshalInputs(ctx, b.client); err != nil {
		return admitted{}, err
	}
	b.kept.Exempt = llbops.Commands(b.inputs)
	var chosen admitted
	for i, r := range requests {
		a, err := b.authorize(ctx, r)
		if err == nil && i == 0 {
			chosen, err = a, b.checkHanded(a)
		}
		if err != nil {
			return admitted{}, err
		}
	}
	return chosen, nil
}
