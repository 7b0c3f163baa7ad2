package frontend

import (
	"context"
	"errors"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Layers returns the policies by which the choice was made.
func (c *Choice) Layers() policy.Layers { return c.monitor.build.layers }

// Container checks a container that the client runs by itself in the build, and a process in it. If
// init is nil, it checks the container alone. Whether clients can have any is not asked here; see
// [policy.Layers.DecideDebug].
//
// The build rules on commands apply as to a step of the build. Those on containers don't: they are
// about containers of the frontend. A build that only reads runs none. The error is a
// [*DenialError], or says why as a sentence without its end.
func (c *Choice) Container(
	ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage,
) error {
	switch {
	case c == nil || c.monitor == nil:
		return errors.New("no frontend was allowed in this build")
	case !c.Decision.Verdict.Permits(): // what the client only reads needs no permission
		return c.monitor.refusal(ctx, &refusal{decision: c.Decision})
	case c.unseen:
		return errors.New("the image that runs the frontend may have a policy of its own, which " +
			"policy-guard doesn't know (--image)")
	}
	return c.monitor.refusal(ctx, c.monitor.clientsContainer(ctx, req, init))
}

// clientsContainer is [monitor.container] for a container of the client's.
func (m *monitor) clientsContainer(
	ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage,
) error {
	op := llbops.FromProcess(req, init)
	if op.Container != nil {
		op = buildrules.Operation{Exec: op.Container}
	}
	_, err := m.check(ctx, op, noPlace)
	return err
}
