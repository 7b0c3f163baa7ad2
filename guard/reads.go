package guard

import (
	"context"
	"maps"
	"slices"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// reads are the sources that the guard itself reads in a build, to find out what the client asks
// for: the build file, a frontend's image, the digest of a tag. Each was judged before the daemon
// is asked for it.
type reads struct {
	build   *build
	sources []*pb.SourceOp // under the build's lock
}

// beginReads begins to read. end must be called.
func (b *build) beginReads() *reads {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &reads{build: b}
	if b.reading == nil {
		b.reading = map[*reads]bool{}
	}
	b.reading[r] = true
	return r
}

func (r *reads) end() {
	r.build.mu.Lock()
	defer r.build.mu.Unlock()
	delete(r.build.reading, r)
}

func (r *reads) add(sources ...*pb.SourceOp) {
	r.build.mu.Lock()
	defer r.build.mu.Unlock()
	r.sources = append(r.sources, sources...)
}

// isReading reports whether the guard itself is about to read exactly this source.
func (b *build) isReading(source *pb.SourceOp) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.reading {
		if slices.ContainsFunc(r.sources, func(own *pb.SourceOp) bool {
			return b.isSame(own, source)
		}) {
			return true
		}
	}
	return false
}

// isSame reports whether the daemon's question about a source is about one that the guard reads.
func (b *build) isSame(own, asked *pb.SourceOp) bool {
	return slices.Contains(llbops.Identifiers(own), asked.GetIdentifier()) &&
		own.GetAttrs()[pb.AttrImageRecordType] == asked.GetAttrs()[pb.AttrImageRecordType] &&
		maps.Equal(b.fixed(own), b.fixed(asked))
}

// fixed returns what decides what is read of a source. The build's own session is what the daemon
// reads from where none is named.
func (b *build) fixed(source *pb.SourceOp) map[string]string {
	fixed := llbops.Fixed(source)
	if attr := llbops.SessionAttr(source); attr != "" && fixed[attr] == b.session {
		fixed[attr] = ""
	}
	return fixed
}

// readingBridge makes the guard's own calls in a build, and remembers what they read.
type readingBridge struct {
	gwpb.LLBBridgeClient
	reads *reads
}

// maxPong bounds the answer to a ping that a build keeps, in bytes. Real ones have about 4,000.
const maxPong = 64 << 10

// keepPong remembers what the daemon can do. A client asks that as a build begins, and the guard
// would ask for the same.
func (b *build) keepPong(data mem.BufferSlice) {
	size := data.Len()
	if size > maxPong {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pong != nil {
		return
	}
	if _, ok := b.account.tryTake(size); ok {
		b.pong = data.Materialize()
	}
}

// Ping returns what the daemon has answered to the client, or asks it.
func (b readingBridge) Ping(
	ctx context.Context, req *gwpb.PingRequest, opts ...grpc.CallOption,
) (*gwpb.PongResponse, error) {
	of := b.reads.build
	of.mu.Lock()
	data := of.pong
	of.mu.Unlock()
	pong := &gwpb.PongResponse{}
	if data != nil && proto.Unmarshal(data, pong) == nil {
		return pong, nil
	}
	return b.LLBBridgeClient.Ping(ctx, req, opts...)
}

// Solve remembers the sources until the guard has read what it wants: the daemon reads a definition
// only when its result is needed.
func (b readingBridge) Solve(
	ctx context.Context, req *gwpb.SolveRequest, opts ...grpc.CallOption,
) (*gwpb.SolveResponse, error) {
	for f, err := range llbops.FromDefinition(req.Definition) {
		if err != nil {
			return nil, err
		}
		if f.Source != nil {
			b.reads.add(f.Source)
		}
	}
	return b.LLBBridgeClient.Solve(ctx, req, opts...)
}

// ResolveSourceMeta remembers the source until the daemon has looked it up. The guard may look up a
// tag for an answer, when it has read everything else.
func (b readingBridge) ResolveSourceMeta(
	ctx context.Context, req *gwpb.ResolveSourceMetaRequest, opts ...grpc.CallOption,
) (*gwpb.ResolveSourceMetaResponse, error) {
	r := b.reads.build.beginReads()
	defer r.end()
	r.add(req.Source)
	return b.LLBBridgeClient.ResolveSourceMeta(ctx, req, opts...)
}

// Inputs returns none: requests with inputs are refused.
func (readingBridge) Inputs(
	context.Context, *gwpb.InputsRequest, ...grpc.CallOption,
) (*gwpb.InputsResponse, error) {
	return &gwpb.InputsResponse{}, nil
}
