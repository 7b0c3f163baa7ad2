package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// forward runs the inner frontend by a nested solve with frontend=gateway.v0. It returns the result
// or the error as it is. If rules restrict what is built, it checks the result first.
//
// The daemon compares the source of a nested solve with the same allowedRepositories, which contain
// only the policy frontend. So the source stays in the policy frontend's repository, and a named
// context overrides it with the inner image. The gateway looks up named contexts after that
// comparison (frontend/gateway/gateway.go; moby/buildkit#3633).
//
// The nested gateway resolves and loads the image without a guard, because BuildKit drops source
// policies on a frontend solve. So the same two steps are done here first, under a guard, and fail
// if a client's source policy replaces the image. docs/threat-model.md describes what can answer
// differently the second time.
func (b *build) forward(ctx context.Context, a admitted, m *monitor) (*client.Result, error) {
	if err := b.loadForwarded(ctx, a); err != nil {
		return nil, err
	}
	if m.checksResults() {
		if err := b.checkOwnContext(ctx, m); err != nil {
			return nil, err
		}
	}
	source, err := standIn(b.opts.SelfRef(), a.pinned().Digest())
	if err != nil {
		return nil, err
	}
	// These come last, so neither the client nor the policy's options can set them.
	opts := b.opts.Inner(a.decision.Obligations)
	opts[optionkeys.Source] = source
	// With cmdline set, docker/dockerfile doesn't follow the `# syntax` line again.
	opts[optionkeys.Cmdline] = a.cmdline
	opts[optionkeys.ContextPrefix+source] = dockerImageProto + a.pinned().String()

	var res *client.Result
	if m.checksResults() || b.attests() {
		res, err = b.forwardChecked(ctx, &gwpb.SolveRequest{
			Frontend: gatewayFrontend, FrontendOpt: opts, FrontendInputs: b.inputs,
			AllowResultReturn: true, AllowResultArrayRef: true,
		}, m)
	} else {
		res, err = b.client.Solve(ctx, client.SolveRequest{
			Frontend:       gatewayFrontend,
			FrontendOpt:    opts,
			FrontendInputs: b.inputs,
		})
	}
	return res, explainNested(a, err)
}

// loadForwarded does what the gateway does with the image of a forwarded frontend, under a guard.
func (b *build) loadForwarded(ctx context.Context, a admitted) error {
	return b.loadGuarded(ctx, a, b.evaluateOnly(a), func() error {
		_, _, err := b.resolve(ctx, a.request, a.pinned())
		return err
	})
}

// evaluateOnly has the daemon read the image of a frontend under a guard, and do nothing with it.
func (b *build) evaluateOnly(a admitted) func(context.Context, *llb.Definition) error {
	return func(ctx context.Context, def *llb.Definition) error {
		_, err := b.client.Solve(ctx, client.SolveRequest{
			Definition: def.ToPB(), Evaluate: true, SourcePolicies: onlyImage(a.pinned()),
		})
		return err
	}
}

// notAllowedSource is part of the daemon's error for a frontend that isn't on its allowlist
// (frontend/gateway/gateway.go). The error has no type. The comparison only chooses the words of a
// message.
const notAllowedSource = "is not an allowed gateway source"

// explainNested says what to do about the daemon's refusal of a nested frontend. The inner frontend
// asked for it, and the daemon allows only the policy frontend.
func explainNested(a admitted, err error) error {
	if err == nil || !strings.Contains(err.Error(), notAllowedSource) {
		return err
	}
	return fmt.Errorf("the frontend %s asked for another frontend, and the daemon allows only the "+
		"policy frontend; a rule with dispatch: mediate can allow such nested frontends: %w",
		a.pinned().Familiar(), err)
}

// standIn returns a reference in the policy frontend's repository that stands for the inner image.
// It has the form in which dockerui.Client.NamedContext looks up named contexts: familiar, and
// without ":latest".
//
// No registry has the tag. In the build's provenance, it tells the inner image's digest.
//
// The reference must not be one that a build file names in FROM: the inner frontend sees the named
// context too and would use its own image there. A client's named context that overrides any name
// in the policy frontend's repository is refused.
func standIn(source string, inner digest.Digest) (string, error) {
	named, err := reference.ParseNormalizedNamed(source)
	if err != nil {
		return "", fmt.Errorf("source option: %w", err)
	}
	tag := policy.StandInPrefix + inner.Encoded()[:policy.StandInDigits]
	tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
	if err != nil {
		return "", err
	}
	return reference.FamiliarString(tagged), nil
}

// marshalInputs reads the frontend inputs to pass them on, as forwardGateway in BuildKit's
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
			return nil, fmt.Errorf("frontend input %s: %w", safetext.Plain(name), err)
		}
		inputs[name] = def.ToPB()
	}
	return inputs, nil
}
