package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// builtin runs the Dockerfile frontend that is a part of this program. It runs in this process,
// behind a broker like any other frontend.
func (b *build) builtin(ctx context.Context, chosen admitted, m *monitor) (*gwpb.Result, error) {
	if err := builtinServes(chosen.decision.Reference); err != nil {
		return nil, b.refuse(chosen.request, err)
	}
	announced, err := b.announce(ctx, chosen)
	if err != nil {
		return nil, err
	}
	defer announced()
	opts := b.innerOptions(chosen)
	return b.serveInner(ctx, chosen, m, func(ctx context.Context, s *broker) error {
		env, conn := b.bridge.environment, inProcess{broker: s}
		c, err := grpcclient.New(ctx, opts, env.Session, env.Product, conn, env.Workers)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, builder.Build) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done(): // the frontend may not watch its context
			return context.Cause(ctx)
		}
	})
}

// announce shows the progress line that names rule and frontend, and the decision's warnings. Other
// dispatchers attach both to the step that loads the frontend's image. Here a step that does
// nothing serves for it.
//
// The step runs in parallel with the build. Call wait before the build ends.
func (b *build) announce(ctx context.Context, chosen admitted) (wait func(), err error) {
	line := llb.WithCustomName(progressLine(chosen.decision))
	def, err := llb.Scratch().File(llb.Mkdir("/policy", 0o755), line).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	if b.step, err = def.Head(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{
			Definition: def.ToPB(), Evaluate: true,
			AllowResultReturn: true, AllowResultArrayRef: true,
		})
		if err == nil { // otherwise there is no step, and the build fails for the same reason
			b.warn(ctx, chosen)
		}
	}()
	return func() { <-done }, nil
}

// builtinServes fails unless the built-in frontend can stand in for the reference. The reference
// must name docker/dockerfile or a mirror of it, and no later version. It can't have a digest,
// because no image runs.
func builtinServes(ref imageref.Reference) error {
	const instead = "the policy runs the built-in Dockerfile frontend instead (dispatch: builtin)"
	switch {
	case !strings.HasSuffix(ref.Name(), dockerfileversions.Name):
		return fmt.Errorf(
			"%s, which serves only docker/dockerfile and mirrors of that name", instead)
	case ref.Digest() != "":
		return fmt.Errorf("%s, which has no digest; ask for a tag alone", instead)
	}
	if !dockerfileversions.Serves(ref.Tag()) {
		return fmt.Errorf("%s, which serves the versions 1.0 to %s; ask for one of these",
			instead, dockerfileversions.Newest)
	}
	return nil
}
