// Package gatewaycodec marshals the messages of the gateway API. It is BuildKit's own codec
// (util/grpcutil/encoding/proto) but for two things: it reads no message that is nested
// deeper than an honest one, and it does not copy the operations of definitions, which
// are nearly all that is sent: a definition may have megabytes of them, and is held by a
// process whose memory is to be small.
package gatewaycodec

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// minShared is the size in bytes from which on it is worth it not to copy a message.
const minShared = 64 << 10

// Codec reads and writes messages as the codec does that it is made of, which is one of
// protocol buffers. Messages that it has read and buffers that it has written share the
// operations of their definitions: who has one must not change it.
type Codec struct{ encoding.CodecV2 }

// New returns a Codec that is made of the one that is registered for protocol buffers.
func New() Codec { return Codec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal implements encoding.CodecV2.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(message); ok {
		if data, ok := marshal(m, pathTo(m)); ok {
			return data, nil
		}
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2. It fails with codes.InvalidArgument for what is
// nested too deep, and for what can be read in two ways: BuildKit's generated readers take
// stack for each level without limit, and a process that is out of stack can't say why it
// ends.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	path := pathTo(v)
	share := path != nil && data.Len() >= minShared
	whole := materialize(data, share)
	defer whole.Free()
	if m, ok := v.(proto.Message); ok && !llbops.Shallow(whole.ReadOnlyData(), m.ProtoReflect().Descriptor()) {
		return status.Errorf(codes.InvalidArgument, "a message of the type %s that is nested too deep to be read, or broken", m.ProtoReflect().Descriptor().Name())
	}
	if m, ok := v.(message); ok && share {
		if done, err := unmarshal(whole.ReadOnlyData(), m, path); done {
			return err
		}
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, v)
}

// materialize puts a message in one piece: if its operations are going to be shared, in
// one that is never used again.
func materialize(data mem.BufferSlice, share bool) mem.Buffer {
	if share {
		return mem.SliceBuffer(data.Materialize())
	}
	return data.MaterializeToBuffer(mem.DefaultBufferPool())
}
