package frontend

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Names of BuildKit's gateway (frontend/gateway/gateway.go, client/llb/source.go).
const (
	gatewayFrontend  = "gateway.v0"
	dockerImageProto = "docker-image://"
)

// dispatch runs the chosen frontend as the policy says and has all its operations checked. It
// returns the frontend's result, and the decision with the warnings that were caused meanwhile. If
// the policy says so, the result has a summary of that decision.
func (b *build) dispatch(
	ctx context.Context, chosen admitted,
) (*client.Result, policy.Decision, error) {
	m := b.newMonitor(chosen)
	if b.attests() {
		m.memory.sources = &Sources{}
	}
	var res *client.Result
	var err error
	if chosen.decision.Dispatch == policy.DispatchForward {
		res, err = b.forward(ctx, chosen, m)
	} else {
		res, err = b.dispatchBrokered(ctx, chosen, m)
	}
	if err == nil && b.attests() {
		err = b.attest(ctx, m)
	}
	return res, m.decided(), err
}

// dispatchBrokered runs the chosen frontend behind a broker.
func (b *build) dispatchBrokered(
	ctx context.Context, chosen admitted, m *monitor,
) (*client.Result, error) {
	if b.bridge == nil {
		return nil, b.refuse(chosen.request,
			errors.New("internal: it can't run behind a broker without the daemon's connection"))
	}
	late := &refusal{origin: chosen.origin, decision: chosen.decision.TimedOut()}
	ctx, cancel := context.WithDeadlineCause(ctx, b.deadline, late)
	defer cancel()
	ctx, done := b.guardMemory(ctx, m)
	defer done()
	raw, err := b.runBrokered(ctx, chosen, m)
	var r *refusal
	switch {
	case err == nil, errors.As(err, &r):
	case errors.As(context.Cause(ctx), &r): // it failed because the context ended
		return nil, r
	}
	if err != nil {
		return nil, err
	}
	m.reportDropped(ctx)
	return b.bridge.handOver(raw), nil
}

// runBrokered runs a frontend behind a broker: one that the build or another frontend asks for.
func (b *build) runBrokered(
	ctx context.Context, chosen admitted, m *monitor,
) (*gwpb.Result, error) {
	if chosen.decision.Dispatch == policy.DispatchBuiltin {
		return b.builtin(ctx, chosen, m)
	}
	return b.mediate(ctx, chosen, m)
}

// serveInner makes a new broker and calls run, which starts the frontend on it and returns when it
// has ended. serveInner returns what the frontend returned.
//
// A refusal of any operation comes first, whatever the frontend made of it. The frontend's own
// error is next, and then the way in which it ended.
func (b *build) serveInner(
	ctx context.Context, chosen admitted, m *monitor, run func(context.Context, *broker) error,
) (*gwpb.Result, error) {
	// The context of a nested frontend is that of a call, which has no deadline of its own.
	late := &refusal{origin: chosen.origin, decision: chosen.decision.TimedOut()}
	ctx, cancel := context.WithDeadlineCause(ctx, b.deadline, late)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := b.newBroker(chosen.pinned().Familiar(), m, stop)
	defer s.account.close()
	defer s.containers.ReleaseAll(ctx, s.daemon)

	ended := run(ctx, s)
	res, err, ok := s.outcome()
	if !ok && ended == nil {
		ended = &innerError{name: chosen.pinned().Familiar(), cause: errNoResult}
	}
	awaitDeadline(ctx, ended, err)
	answered := ok && err == nil && ended == nil && !hasRefs(res)
	if refused := m.refusedFor(err, answered); refused != nil {
		return nil, refused
	}
	var r *refusal
	switch {
	case errors.As(context.Cause(ctx), &r):
		return nil, r
	case ok && err != nil:
		return nil, err
	case ended != nil:
		return nil, ended
	}
	return res, nil
}

// awaitDeadline waits for the end of ctx if a frontend ended because of its deadline. The daemon
// gets the deadline too, by the header grpc-timeout, and may act on it a moment before this process
// does. Without the wait, a frontend that is out of time would seem to fail by itself.
//
// The deadline ended the frontend if it has passed. If it is near, it did so if the daemon reports
// it, or reports nothing.
func awaitDeadline(ctx context.Context, errs ...error) {
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	exceeded := func(err error) bool {
		return status.Code(err) == codes.DeadlineExceeded || errors.Is(err, errNoResult)
	}
	if ok && (left <= 0 || left < time.Second && slices.ContainsFunc(errs, exceeded)) {
		<-ctx.Done()
	}
}

// innerOptions returns the options for a frontend behind a broker.
func (b *build) innerOptions(chosen admitted) map[string]string {
	opts := b.opts.Inner(chosen.decision.Obligations)
	opts[optionkeys.Source] = chosen.pinned().String()
	if !b.nested {
		// With cmdline set, docker/dockerfile doesn't follow the `# syntax` line again. A
		// nested one may follow it, because what it asks for is authorized.
		opts[optionkeys.Cmdline] = chosen.cmdline
	}
	return opts
}
