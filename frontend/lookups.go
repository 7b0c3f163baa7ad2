package frontend

import (
	"context"

	"github.com/distribution/reference"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// sourceMeta is [monitor.sourceFor] for what ResolveSourceMeta looks up.
func (m *monitor) sourceMeta(
	ctx context.Context, req *gwpb.ResolveSourceMetaRequest,
) (guard []*spb.Policy, instead imageref.Reference, err error) {
	if req.GetImage().GetAttestationChain() || len(req.GetImage().GetResolveAttestations()) > 0 {
		// The daemon reads whatever the registry holds as attestations. Some releases
		// crash on it (v0.34.2, source/containerimage/source.go).
		return nil, instead, m.refuseUnknown("the attestations of an image")
	}
	return m.sourceFor(ctx, req.Source, req.Platform)
}

// resolverOCILayout is sourceresolver.ResolverTypeOCILayout.
const resolverOCILayout = 1

// imageConfig is [monitor.sourceFor] for what ResolveImageConfig looks up. It writes the reference
// in full.
func (m *monitor) imageConfig(
	ctx context.Context, req *gwpb.ResolveImageConfigRequest,
) (guard []*spb.Policy, instead imageref.Reference, err error) {
	// As the daemon does (client/llb/sourceresolver/imageresolver.go).
	if full, err := reference.ParseNormalizedNamed(req.Ref); err == nil {
		req.Ref = full.String()
	}
	op := &pb.SourceOp{Identifier: dockerImageProto + req.Ref}
	if req.ResolverType == resolverOCILayout {
		op = &pb.SourceOp{Identifier: "oci-layout://" + req.Ref, Attrs: map[string]string{
			pb.AttrOCILayoutSessionID: req.SessionID,
			pb.AttrOCILayoutStoreID:   req.StoreID,
		}}
	}
	return m.sourceFor(ctx, op, req.Platform)
}
