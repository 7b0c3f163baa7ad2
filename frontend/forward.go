package frontend

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// forward runs the inner frontend by a nested solve with frontend=gateway.v0, and
// returns its result, or its error, as it came; the result judged, if there are
// rules on what is built.
//
// The daemon checks the source of a nested solve against the same
// allowedRepositories as ours, and only the policy frontend is on that list. So
// the source stays in our own repository, and a named context puts the inner
// image in its place: the gateway looks the source up among the named contexts
// after the check (frontend/gateway/gateway.go; moby/buildkit#3633).
//
// It will resolve and load that image without a guard (BuildKit drops source policies
// on a frontend solve). The very same two are done here first, under one, so that a
// client's source policy that would swap the image fails. What answers differently the
// second time, docs/threat-model.md speaks of.
func (b *build) forward(ctx context.Context, a admitted, m *monitor) (*client.Result, error) {
	err := b.loadGuarded(ctx, a, func(ctx context.Context, def *llb.Definition) error {
		_, err := b.client.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: true, SourcePolicies: onlyImage(a.pinned())})
		return err
	}, func() error {
		_, _, err := b.resolve(ctx, a.request, a.pinned())
		return err
	})
	if err != nil {
		return nil, err
	}
	source, err := standIn(b.opts.SelfRef(), a.pinned().Digest())
	if err != nil {
		return nil, err
	}
	// Ours come last: neither the client nor the policy's options can set them.
	opts := b.opts.Inner(a.decision.Obligations)
	opts[optionkeys.Source] = source
	// With cmdline set, docker/dockerfile does not follow a `# syntax` line again.
	opts[optionkeys.Cmdline] = a.cmdline
	opts[optionkeys.ContextPrefix+source] = dockerImageProto + a.pinned().String()

	if m.checksResults() {
		return b.forwardChecked(ctx, &gwpb.SolveRequest{
			Frontend: gatewayFrontend, FrontendOpt: opts, FrontendInputs: b.inputs, AllowResultReturn: true, AllowResultArrayRef: true,
		}, m)
	}
	return b.client.Solve(ctx, client.SolveRequest{
		Frontend:       gatewayFrontend,
		FrontendOpt:    opts,
		FrontendInputs: b.inputs,
	})
}

// standIn returns a reference in our repository for the inner image to stand
// behind, in the form in which dockerui.Client.NamedContext looks named contexts
// up: familiar, and without ":latest".
//
// Its tag is in no registry, it names the inner image's digest to those who read
// the build's provenance. It must not be a reference that anybody builds `FROM`: the
// inner frontend sees the named context too, and would put itself there. (A
// client's own named context over any name in our repository is refused.)
func standIn(source string, inner digest.Digest) (string, error) {
	named, err := reference.ParseNormalizedNamed(source)
	if err != nil {
		return "", fmt.Errorf("source option: %w", err)
	}
	tagged, err := reference.WithTag(reference.TrimNamed(named), "inner-"+inner.Encoded()[:16])
	if err != nil {
		return "", err
	}
	return reference.FamiliarString(tagged), nil
}

// marshalInputs hands the frontend inputs on, as forwardGateway in BuildKit's
// frontend/dockerfile/builder/build.go does.
func marshalInputs(ctx context.Context, c client.Client) (map[string]*pb.Definition, error) {
	caps := c.BuildOpts().Caps
	if takesInputs := caps.Supports(gwpb.CapFrontendInputs) == nil; !takesInputs {
		return nil, nil
	}
	states, err := c.Inputs(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to get frontend inputs: %w", err)
	}
	inputs := make(map[string]*pb.Definition, len(states))
	for name, st := range states {
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, fmt.Errorf("frontend input %s: %w", printable(name), err)
		}
		inputs[name] = def.ToPB()
	}
	return inputs, nil
}
