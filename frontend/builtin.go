package frontend

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// builtin runs the Dockerfile frontend that is a part of this program. It runs in this process,
// behind a broker like any other frontend.
func (b *build) builtin(ctx context.Context, chosen admitted, m *monitor) (*gwpb.Result, error) {
	announced, err := b.announce(ctx, chosen)
	if err != nil {
		return nil, err
	}
	defer announced()
	opts := b.innerOptions(chosen)
	return b.serveInner(ctx, chosen, m, func(ctx context.Context, s *broker) error {
		env, conn := b.bridge.environment, inProcess{broker: s, args: map[string]string{}}
		for k, v := range opts {
			if name, ok := strings.CutPrefix(k, optionkeys.BuildArgPrefix); ok {
				conn.args[name] = v
			}
		}
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
		_, err := b.client.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		if err == nil { // otherwise there is no step, and the build fails for the same reason
			b.warn(ctx, chosen)
		}
	}()
	return func() { <-done }, nil
}
