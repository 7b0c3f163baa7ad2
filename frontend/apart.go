package frontend

import (
	"context"
	"slices"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// keepApart keeps the commands of the build apart by an id; "" for none. cacheMounts is the
// namespace of its cache mounts.
func (b *build) keepApart(id, cacheMounts string) {
	b.kept.ID, b.kept.CacheMounts = id, cacheMounts
	b.opts = b.opts.WithApart(id)
}

// apart checks that a definition keeps its commands apart from those of other builds.
func (m *monitor) apart(def *pb.Definition) error {
	return m.checkKept(llbops.Apart(def, m.build.kept))
}

// checkKept refuses what isn't kept apart; "" for nothing.
func (m *monitor) checkKept(what string) error {
	if what != "" {
		return m.refuseShared(what, "policy-guard keeps the commands of this build apart from those of "+
			"others by a host in the option add-hosts, and its cache mounts by the build-arg "+
			"BUILDKIT_CACHE_MOUNT_NS: a frontend has to add the host to each command, and to put the "+
			"build-arg before the name of each cache mount, as docker/dockerfile does")
	}
	return nil
}

// refuseShared is [monitor.refuseUnknown] for what isn't kept apart, with a message about it.
func (m *monitor) refuseShared(what, message string) error {
	ruling := m.unknown("%s", what)
	if m.build.kept.ID != "" {
		ruling.Messages = append(slices.Clip(ruling.Messages), message)
	}
	return m.refuse(ruling, noPlace)
}

// KeptApart returns the id by which the commands of the build are kept apart from those of builds
// with another one; "" if they aren't.
func (c *Choice) KeptApart() string { return c.monitor.build.kept.ID }

// CheckApart checks that the commands of a result of the chosen frontend are kept apart from those
// of other builds, if those of this build are. In no build may they look as if they were those of
// another. Nothing of the result may have been evaluated. The error is a [*DenialError].
func (c *Choice) CheckApart(ctx context.Context, res *gwpb.Result) error {
	return c.monitor.refusal(ctx, c.monitor.resultApart(res))
}

func (m *monitor) resultApart(res *gwpb.Result) error {
	for ref := range gatewayresult.References(res) {
		if ref.GetId() != "" && len(ref.GetDef().GetDef()) == 0 && m.build.kept.ID != "" {
			return m.refuseUnknown("a result whose definition the daemon doesn't supply")
		}
		if err := m.apart(ref.GetDef()); err != nil {
			return err
		}
	}
	return nil
}

// ownApart is [monitor.apart] for a definition that a client made. Its bytes are what refers to
// them, so nobody can add a host.
func (m *monitor) ownApart(def *pb.Definition) error {
	if m.build.kept.ID != "" && llbops.HasCommands(def) {
		return m.refuseShared(llbops.OwnCommands, "policy-guard can't change LLB: have a frontend make "+
			"the commands")
	}
	return m.apart(def)
}
