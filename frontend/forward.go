package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
)

// forward runs the inner frontend by a nested solve with frontend=gateway.v0, and
// returns its result, or its error, as it came.
//
// The daemon checks the source of a nested solve against the same
// allowedRepositories as ours, and only the policy frontend is on that list. So
// the source stays our own reference, and a named context puts the inner image in
// its place: the gateway looks the source up among the named contexts after the
// check (frontend/gateway/gateway.go; moby/buildkit#3633).
func (b *build) forward(ctx context.Context, j judged) (*client.Result, error) {
	key, err := contextKey(b.opts.source)
	if err != nil {
		return nil, err
	}
	// Ours come last: neither the client nor the policy's options can set them.
	opts := b.opts.forInner(j.decision.Obligations)
	opts[keySource] = b.opts.source
	// With cmdline set, docker/dockerfile does not follow a `# syntax` line again.
	opts[keyCmdline] = j.cmdline
	opts[key] = dockerImageProto + j.pinned().String()

	return b.client.Solve(ctx, client.SolveRequest{
		Frontend:       gatewayFrontend,
		FrontendOpt:    opts,
		FrontendInputs: b.inputs,
	})
}

// contextKey is the option under which the gateway looks for a named context over
// source (dockerui.Client.NamedContext): the familiar form, without ":latest".
func contextKey(source string) (string, error) {
	named, err := reference.ParseNormalizedNamed(source)
	if err != nil {
		return "", fmt.Errorf("source option: %w", err)
	}
	return contextPrefix + strings.TrimSuffix(reference.FamiliarString(named), ":latest"), nil
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
