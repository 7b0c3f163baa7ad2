package frontend

import (
	"context"
	"strings"
	"sync"

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
	line, err := b.emptyLine(ctx, chosen)
	if err != nil {
		return nil, err
	}
	var announcing sync.WaitGroup
	announcing.Go(func() { b.announceEmpty(ctx, chosen, line) })
	defer announcing.Wait()
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

// emptyLine makes the progress line that names rule and frontend, for a build in which no image of
// a frontend is loaded. It is the line of a step that does nothing.
func (b *build) emptyLine(ctx context.Context, chosen admitted) (*llb.Definition, error) {
	named := llb.WithCustomName(progressLine(chosen.decision))
	return b.line(ctx, llb.Scratch().File(llb.Mkdir("/policy", 0o755), named))
}

// announceEmpty shows the line of [build.emptyLine], and the decision's warnings.
func (b *build) announceEmpty(ctx context.Context, chosen admitted, line *llb.Definition) {
	_, err := b.client.Solve(ctx, client.SolveRequest{Definition: line.ToPB(), Evaluate: true})
	if err == nil { // otherwise there is no step, and the build fails for the same reason
		b.warn(ctx, chosen)
	}
}
