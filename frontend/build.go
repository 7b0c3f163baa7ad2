// Package frontend is the gateway side of the policy frontend: it reads what a
// build asks of BuildKit, has package policy decide, and runs the frontend that
// was allowed. It decides nothing itself.
//
// Build is the whole story, top to bottom: request, policy, decision, dispatch,
// report.
package frontend

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/policy"
)

// DefaultPolicyPath is where the image keeps its policy.
const DefaultPolicyPath = "/etc/policy-frontend/policy.yaml"

// Frontend is the policy frontend with its embedded policy at PolicyPath.
type Frontend struct {
	// PolicyPath names the embedded policy file; the file is read at each Build.
	PolicyPath string
	// Now tells the time by which rules begin to warn and expire; nil is the
	// machine's clock.
	Now func() time.Time
	// Log takes what inner frontends write to their stderr; nil is noPlace.
	Log io.Writer

	bridge *bridge // set by Serve
}

// Build serves one build with the policy at DefaultPolicyPath. It is the
// function that BuildKit's gateway calls (client.BuildFunc).
func Build(ctx context.Context, c client.Client) (*client.Result, error) {
	return Frontend{PolicyPath: DefaultPolicyPath}.Build(ctx, c)
}

// Build finds out which frontend the build asks for, decides by policy whether
// it may run, and returns that frontend's result untouched but for the decision,
// which is added under MetadataKey.
//
// A refusal is a *DenialError; an error of the inner frontend is returned as it
// came. PolicySubrequest is answered either way, and nothing runs.
func (f Frontend) Build(ctx context.Context, c client.Client) (*client.Result, error) {
	now := f.Now
	if now == nil {
		now = time.Now
	}
	log := f.Log
	if log == nil {
		log = io.Discard
	}
	b := build{client: c, bridge: f.bridge, log: log, opts: gatewayopts.Parse(c.BuildOpts().Opts), file: newBuildFile(c), now: now().UTC()}
	res, err := b.run(ctx, f.PolicyPath)
	var r *refusal
	if errors.As(err, &r) {
		if b.subrequest() == PolicySubrequest {
			return b.answer(ctx, r.origin, r.decision)
		}
		return nil, b.deny(ctx, r)
	}
	return res, err
}

// build is one build on its way through the policy frontend.
type build struct {
	client client.Client
	bridge *bridge // nil if Serve didn't make the client
	log    io.Writer
	nested bool          // another frontend asks for this one
	step   digest.Digest // of the line of progress about the frontend, to attach warnings to
	opts   gatewayopts.Options
	file   *buildFile
	layers policy.Layers
	inputs map[string]*pb.Definition
	now    time.Time
}

// run does what Build says; a refusal comes back as a *refusal.
func (b *build) run(ctx context.Context, policyPath string) (*client.Result, error) {
	var policyErr error
	b.layers, policyErr = loadPolicies(policyPath, b.opts)

	requests, err := findRequests(ctx, b.opts, b.file, b.layers.DefaultFrontend())
	if policyErr != nil { // said with what was asked for, if that could be made out
		return nil, b.refuse(firstRequest(requests), policyErr)
	}
	if err != nil {
		return nil, b.refuse(firstRequest(requests), err)
	}

	if b.inputs, err = marshalInputs(ctx, b.client); err != nil {
		return nil, err
	}
	var chosen admitted
	for i, r := range requests {
		a, err := b.authorize(ctx, r)
		if err != nil {
			return nil, err
		}
		if i == 0 { // the others are judged only: nothing of them runs
			chosen = a
		}
	}

	if b.subrequest() == PolicySubrequest {
		return b.answer(ctx, chosen.origin, chosen.decision)
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
