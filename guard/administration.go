package guard

import (
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// diskUsage passes on to an administrator what the daemon keeps for all clients.
func (c *call) diskUsage() error {
	var req controlapi.DiskUsageRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	return c.administrate(policy.DiskUsage, &req, req.Filter,
		"age-limit", time.Duration(req.AgeLimit))
}

// prune has the daemon delete what it keeps for all clients, for an administrator. It goes on only
// as long as the client's call.
func (c *call) prune() error {
	var req controlapi.PruneRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	return c.administrate(policy.Pruning, &req, req.Filter,
		"all", req.All, "keep", time.Duration(req.KeepDuration), "reserved-space", req.ReservedSpace,
		"max-used-space", req.MaxUsedSpace, "min-free-space", req.MinFreeSpace)
}

// administrate passes on a request if the client is an administrator by the policy in force. It
// notes that in the log. more are names and values for it.
func (c *call) administrate(
	what policy.Administering, req proto.Message, filters []string, more ...any,
) error {
	inForce := c.guard.policy.current()
	layers, err := inForce.layers(c.client, nil) // no overlay comes with such a call
	if err != nil {
		return c.refuse(err)
	}
	if err := denied(layers, layers.DecideAdministration(what, c.client)); err != nil {
		return c.refuse(err)
	}
	if err := checkFilters(filters); err != nil {
		return c.refuse(err)
	}
	f, err := written(req)
	if err != nil {
		return err
	}
	c.guard.log.Info("administered", append([]any{
		"client", safetext.Printable(string(c.who)), "names", safetext.Printable(c.client.String()),
		"what", c.method, "policy", inForce.Digest(), "filters", logText(strings.Join(filters, " ")),
	}, more...)...)
	return c.pipe(c.outgoing(c.stream.Context()), f)
}
