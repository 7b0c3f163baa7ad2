package frontend

import (
	"context"
	"errors"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// ownReads is the client by which this process itself reads the build file. The context of a build
// can be a git repository, a download or the result of another build. So each definition is checked
// before the daemon reads anything of it.
type ownReads struct {
	client.Client
	check func(context.Context, *pb.Definition) ([]*spb.Policy, error)
}

// Solve fails with a *refusal if the policy doesn't let a build read the definition.
func (c ownReads) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	policies, err := c.check(ctx, req.Definition)
	if err != nil {
		return nil, err
	}
	req.SourcePolicies = policies
	return c.Client.Solve(ctx, req)
}

// checkRead checks what this process is about to read, by the decisions of [policy.Layers.Readers].
// It returns the source policies under which the daemon may read it. Without a policy, it allows
// only what the client sends with the build. The error is a *refusal.
func (b *build) checkRead(ctx context.Context, def *pb.Definition) ([]*spb.Policy, error) {
	readers := b.readers()
	if len(readers) == 0 {
		return nil, b.checkSent(def)
	}
	return byReaders(readers, func(m *monitor) ([]*spb.Policy, error) {
		return m.definition(ctx, def)
	})
}

// readers returns the monitors of the decisions of [policy.Layers.Readers].
func (b *build) readers() [][]*monitor {
	var all [][]*monitor
	for _, layer := range b.layers.Readers(b.now) {
		var readers []*monitor
		for _, d := range layer {
			readers = append(readers, b.newMonitor(admitted{decision: d}))
		}
		all = append(all, readers)
	}
	return all
}

// byReaders returns what one monitor of each layer allows, and the first error of a layer whose
// monitors all refuse it.
func byReaders(
	readers [][]*monitor, check func(*monitor) ([]*spb.Policy, error),
) ([]*spb.Policy, error) {
	var policies []*spb.Policy
	for _, layer := range readers {
		var first error
		allowed := false
		for _, m := range layer {
			of, err := check(m)
			if err == nil {
				policies, allowed = append(policies, of...), true
				break
			}
			if first == nil {
				first = err
			}
		}
		if !allowed {
			return nil, first
		}
	}
	return policies, nil
}

// checkOwnContext checks a context and a build file that come from elsewhere than the client, by
// the decision on the inner frontend. A forwarded frontend reads them before it returns a result
// that could be checked. They are read here in the same way, and the daemon keeps them. An error
// that isn't a refusal is left for the frontend to report.
func (b *build) checkOwnContext(ctx context.Context, m *monitor) error {
	if len(b.inputs) == 0 && b.opts.Get("context") == "" && b.opts.Get("contextkey") == "" {
		return nil // Both are directories of the client.
	}
	_, err := readEntrypoint(ctx, ownReads{b.client, m.definition})
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		return refused
	}
	return nil
}

// checkSent refuses a definition that has anything but directories and uploads of the client.
func (b *build) checkSent(def *pb.Definition) error {
	for f, err := range llbops.FromDefinition(def) {
		if err != nil {
			return b.refuse(request{}, err)
		}
		if k, err := f.Kind(); err != nil || k != buildrules.KindLocal {
			return b.refuse(request{}, errors.New("there is no policy, so the build file isn't read "+
				"from "+f.Describe()))
		}
	}
	return nil
}
