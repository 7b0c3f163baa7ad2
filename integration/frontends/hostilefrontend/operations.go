package main

import (
	"context"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/llbbuild"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protowire"
)

// noSuchField is a field that no message of BuildKit has.
const noSuchField = 2000

// buildOp builds a definition that only the build itself reads.
func buildOp(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	def, err := fromImage(b.arg("DENIED")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	data, err := def.ToPB().MarshalVT()
	if err != nil {
		return nil, err
	}
	source := llb.Scratch().File(llb.Mkfile("/"+pb.LLBDefaultDefinitionFile, 0o644, data))
	return b.state(ctx, source.With(llbbuild.Build()), evaluated)
}

func unknownOp(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.altered(ctx, func([]byte) []byte { return withField(nil) })
}

func unknownField(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.altered(ctx, withField)
}

func withField(op []byte) []byte {
	return protowire.AppendString(protowire.AppendTag(op, noSuchField, protowire.BytesType),
		"from the future")
}

// altered changes the operation that makes a file with alter, and solves its definition.
func (b *bridge) altered(ctx context.Context, alter func(op []byte) []byte) (*gwpb.Result, error) {
	m, err := proof("by an altered operation").Marshal(ctx)
	if err != nil {
		return nil, err
	}
	op := alter(m.ToPB().Def[0])
	last, err := (&pb.Op{Inputs: []*pb.Input{{Digest: string(digest.FromBytes(op))}}}).MarshalVT()
	if err != nil {
		return nil, err
	}
	return b.definition(ctx, &pb.Definition{Def: [][]byte{op, last}}, evaluated)
}

// final returns the result as clients did before Return existed.
func final(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	_, err := b.state(ctx, proof("handed over as final"),
		func(r *gwpb.SolveRequest) { r.Final, r.ExporterAttr = true, []byte("{}") })
	return nil, err
}

// hugeMessage sends more than a gateway message may have.
func hugeMessage(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.state(ctx, proof(strings.Repeat("x", 17<<20)))
}
