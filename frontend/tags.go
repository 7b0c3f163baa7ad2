package frontend

import (
	"context"
	"errors"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// maxTags bounds the tags that the operations of one build can have looked up.
const maxTags = 500

// operation is an operation to check, with what the LLB says of where it is read.
type operation struct {
	buildrules.Operation
	source   *pb.SourceOp // nil if it isn't a source
	platform *pb.Platform // nil for the daemon's own
}

// verifyTag checks an image again whose ruling relies on its tag. The reference has a digest too,
// which decides what is read: a frontend adds the digest of the tag, and anybody can write another
// one. The error is a *refusal.
func (m *monitor) verifyTag(
	ctx context.Context, o operation, ruling policy.Ruling,
) (policy.Ruling, error) {
	ref := ruling.Image
	if ref.Name() == "" {
		var err error
		if ref, err = imageref.Parse(o.Image); err != nil {
			return ruling, m.refuseUnknown("an image that can't be checked: %v", err)
		}
	}
	points, err := m.tagDigest(ctx, ref.Tagged(), o)
	if err != nil {
		return ruling, m.refuseUnknown("the image %s, whose tag can't be looked up: %v",
			ref.Familiar(), err)
	}
	ruling = m.decisionOn(o.Operation).CheckTag(o.Operation, points)
	if ruling.TagUnverified {
		return ruling, m.refuseUnknown("the image %s, whose tag isn't known", ref.Familiar())
	}
	return ruling, nil
}

// tagDigest asks the daemon to which digest a tag points. A build looks up each tag once.
func (m *monitor) tagDigest(
	ctx context.Context, ref imageref.Reference, o operation,
) (digest.Digest, error) {
	m.memory.mu.Lock()
	known, ok := m.memory.tags[ref.String()]
	full := len(m.memory.tags) >= maxTags
	m.memory.mu.Unlock()
	switch {
	case ok:
		return known, nil
	case full:
		return "", errors.New("the build has too many tags")
	}
	// With older daemons, grpcclient would fall back to a call without source policies.
	caps := m.build.client.BuildOpts().Caps
	if err := caps.Supports(gwpb.CapSourceMetaResolver); err != nil {
		return "", err
	}
	opt := &sourceresolver.ResolveImageOpt{
		ResolveMode: o.source.GetAttrs()[pb.AttrImageResolveMode],
	}
	if o.platform != nil { // An image needn't be there for the daemon's own platform.
		platform := o.platform.Spec()
		opt.Platform = &platform
	}
	op := &pb.SourceOp{Identifier: dockerImageProto + ref.String()}
	res, err := m.build.client.ResolveSourceMetadata(ctx, op, sourceresolver.Opt{
		LogName:        "[policy] look up " + ref.Familiar(),
		ImageOpt:       opt,
		SourcePolicies: onlyImage(ref),
	})
	if err != nil {
		return "", err
	}
	if res.Image == nil || res.Image.Digest.Validate() != nil {
		return "", errors.New("the daemon names no digest for it")
	}
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	m.memory.tags[ref.String()] = res.Image.Digest
	return res.Image.Digest, nil
}
