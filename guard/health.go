package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// healthAge is for how long an answer about the daemon counts. Clients can ask as often as they
	// like.
	healthAge = time.Second
	// healthTimeout is how long the daemon may take to answer.
	healthTimeout = 3 * time.Second
	// watchPeriod is how often the guard looks whether a health that a client watches has changed.
	watchPeriod = 5 * time.Second
)

// health is what the guard knows about the daemon.
type health struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// Ready returns why no build can begin now, or nil: the guard is ending, its record can't be
// written, or the daemon doesn't answer, is too old or can't enforce the policy. What it says about
// the daemon is at most a second old. The policy in force is always a valid one; see
// [Guard.Policy].
func (g *Guard) Ready(ctx context.Context) error {
	if g.builds.ending() {
		return errEnding
	}
	if err := g.recorder.check(); err != nil {
		return err
	}
	h := g.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) > healthAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
		defer cancel()
		h.err = g.checkDaemon(ctx, g.policy.current())
		if _, ok := status.FromError(h.err); h.err != nil && ok {
			h.err = fmt.Errorf("the daemon doesn't answer: %s", status.Convert(h.err).Message())
		}
		h.at = time.Now()
	}
	return h.err
}

// Policy returns the policy in force, and why the newest one isn't, or nil. It looks at the file.
func (g *Guard) Policy() (inForce *Policy, problem error) { return g.policy.state() }

// servingStatus is the guard's own health. It is that of each service which the guard passes on.
func (g *Guard) servingStatus(ctx context.Context) healthpb.HealthCheckResponse_ServingStatus {
	if g.Ready(ctx) != nil {
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

var errHealthService = errors.New("only the health of policy-guard as a whole is known: the service " +
	`""`)

// healthCheck tells the guard's health.
func (c *call) healthCheck() error {
	var req healthpb.HealthCheckRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if req.Service != "" {
		return status.Error(codes.NotFound, errHealthService.Error())
	}
	return c.send(&healthpb.HealthCheckResponse{Status: c.guard.servingStatus(c.stream.Context())})
}

// healthList tells the health of all services. The guard as a whole is the only one.
func (c *call) healthList() error {
	var req healthpb.HealthListRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	return c.send(&healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{
		"": {Status: c.guard.servingStatus(c.stream.Context())},
	}})
}

// healthWatch tells the guard's health each time that it changes.
func (c *call) healthWatch() error {
	var req healthpb.HealthCheckRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if req.Service != "" {
		// The protocol has no error here. A service may appear.
		return c.send(&healthpb.HealthCheckResponse{
			Status: healthpb.HealthCheckResponse_SERVICE_UNKNOWN,
		})
	}
	ctx := c.stream.Context()
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		if now := c.guard.servingStatus(ctx); now != last {
			last = now
			if err := c.send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-c.guard.builds.ended():
			return refuseEnding()
		case <-tick.C:
		}
	}
}
