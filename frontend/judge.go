package frontend

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Judge says whether the daemon may read a source in a build, whoever asks it to. It applies the
// build rules of the decision as a broker applies them to a definition. The platform is nil for the
// daemon's own.
//
// If the daemon has to read another source instead, Judge returns that one: an image that rules
// replace or pin, or a git repository without its submodules, which no rule could see. The daemon
// asks about that one again. An error says why the source is refused, as a sentence without its
// end. A nil choice refuses each source.
//
// Judge looks up the tag of an image if the rules rest on it. Several goroutines may call it.
func (c *Choice) Judge(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (instead *pb.SourceOp, err error) {
	switch why := c.Refuses(source); {
	case why != "":
		return nil, errors.New(why)
	case c == nil:
		return nil, errors.New("no frontend was allowed in this build")
	case c.monitor == nil: // only an answer
		return nil, errors.New("internal: the choice has no decision on sources")
	case c.IsOwn():
		return c.judgeOwn(ctx, source, platform)
	case c.IsOwnImage(source):
		return nil, nil
	}
	instead, err = c.monitor.judgeIfBound(ctx, source, platform)
	if err != nil && c.Mediated && c.monitor.mayRun(source) {
		return nil, nil
	}
	return instead, err
}

// mayRun reports whether a source is an image that the frontend may run as another frontend. The
// policy frontend, which runs it, reads its image as any other.
func (m *monitor) mayRun(source *pb.SourceOp) bool {
	name, isImage := strings.CutPrefix(source.GetIdentifier(), dockerImageProto)
	ref, err := imageref.Parse(name)
	self, selfErr := m.build.opts.Self()
	if !isImage || err != nil || selfErr != nil {
		return false
	}
	asked := buildrules.Operation{Frontend: name}
	return m.inner.decision.Check(asked).Verdict.Permits() &&
		policy.Decide(m.build.layers, policy.Request{
			Requested: name, Reference: ref, Self: self, Options: m.build.opts.Visible(), Nested: true,
			Time: m.build.now,
		}).Verdict != policy.Deny
}

// Decided returns the Decision with the warnings that operations have caused so far.
func (c *Choice) Decided() policy.Decision {
	if c.monitor == nil {
		return c.Decision
	}
	return c.monitor.decided()
}

// judge is [Choice.Judge] by the monitor's decision alone.
func (m *monitor) judge(
	ctx context.Context, source *pb.SourceOp, platform *pb.Platform,
) (*pb.SourceOp, error) {
	instead := source
	for _, f := range llbops.FromSource(source) {
		ruling, err := m.checkOperation(ctx,
			operation{Operation: f, source: source, platform: platform}, noPlace)
		if err != nil {
			return nil, err
		}
		if ruling.Image.Name() == "" {
			continue
		}
		if id := dockerImageProto + ruling.Image.String(); id != source.GetIdentifier() {
			instead = &pb.SourceOp{Identifier: id, Attrs: source.GetAttrs()}
			for of := m; of != nil; of = of.outer { // a conversion must not follow this one
				of.converted.add(ruling.Image)
			}
		}
	}
	if m.inner.decision.Enforces(buildrules.KindGit) && hasSubmodules(source) {
		instead = llbops.WithAttr(source, pb.AttrGitSkipSubmodules, "true")
	}
	if instead == source {
		return nil, nil
	}
	return instead, nil
}

// hasSubmodules reports whether the daemon would read the submodules of a git repository too. It
// asks about none of them (source/git/source.go).
func hasSubmodules(source *pb.SourceOp) bool {
	return strings.HasPrefix(source.GetIdentifier(), srctypes.GitScheme+"://") &&
		source.GetAttrs()[pb.AttrGitSkipSubmodules] != "true"
}

// InContainer reports whether the frontend runs in a container of the daemon.
func (c *Choice) InContainer() bool { return c != nil && c.Frontend == gatewayFrontend }

// IsOwnImage reports whether a source is an image that the daemon reads in order to run the chosen
// frontend. It is known by its digest. Where the policy frontend runs it, that one looks up the tag
// too.
func (c *Choice) IsOwnImage(source *pb.SourceOp) bool {
	name, isImage := strings.CutPrefix(source.GetIdentifier(), dockerImageProto)
	ref, err := imageref.Parse(name)
	if !isImage || err != nil || !c.InContainer() {
		return false
	}
	own := []imageref.Reference{c.Decision.Reference, c.runs}
	return slices.ContainsFunc(own, func(o imageref.Reference) bool {
		if !ref.SameRepository(o) {
			return false
		}
		if ref.Digest() == "" {
			return c.Mediated && ref.Tag() == o.Tag()
		}
		return ref.Digest() == o.Digest()
	})
}
