// Package gatewaycodec marshals the messages of the gateway API. It differs from BuildKit's own
// codec (util/grpcutil/encoding/proto) in three ways.
//
// It rejects messages that are nested more deeply than any real one.
//
// It doesn't copy the operations of definitions. They make up almost all of the traffic: a
// definition can have megabytes of them, and the process that holds it has to stay small.
//
// It reads a large result that is returned without the operations of its definition. Both programs
// know from the daemon what the references of a result build.
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

// minShared is the size in bytes above which copying a message costs more than sharing it.
const minShared = 64 << 10

// Codec reads and writes messages of protocol buffers as the codec does that it embeds. The
// messages that it has read and the buffers that it has written share the operations of their
// definitions, so nobody may change these.
type Codec struct{ encoding.CodecV2 }

// New returns a Codec that embeds the one that is registered for protocol buffers.
func New() Codec { return Codec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal implements [encoding.CodecV2]. It takes an [*Outgoing] too.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*Outgoing); ok {
		data, err := c.Marshal(out.Message)
		out.Message = nil // its caller waits until the connection takes the bytes
		return Watch(data, out.Written), err
	}
	if m, ok := v.(message); ok {
		if data, ok := marshal(m, pathTo(m)); ok {
			return data, nil
		}
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements [encoding.CodecV2]. It takes an [*Incoming] too. It fails with
// codes.InvalidArgument if a message is nested too deeply or can be read in two ways. BuildKit's
// generated readers use stack for each level without a limit, and a process that runs out of stack
// ends without a message.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	in, metered := v.(*Incoming)
	if metered {
		v = in.Message
	}
	data = readReturned(data, v)
	path := pathTo(v)
	share := path != nil && data.Len() >= minShared
	whole := materialize(data, share)
	defer whole.Free()
	if m, ok := v.(proto.Message); ok {
		kind := m.ProtoReflect().Descriptor()
		size, ok := llbops.Weigh(whole.ReadOnlyData(), kind)
		if !ok {
			return status.Errorf(codes.InvalidArgument,
				"the message of the type %s is nested too deeply or malformed", kind.Name())
		}
		if metered && !in.accept(size) {
			return nil
		}
	}
	if m, ok := v.(message); ok && share {
		if done, err := unmarshal(whole.ReadOnlyData(), m, path); done {
			return err
		}
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, v)
}

// materialize joins the buffers of a message. If the operations will be shared, the result is
// memory that is never reused.
func materialize(data mem.BufferSlice, share bool) mem.Buffer {
	if share {
		return mem.SliceBuffer(data.Materialize())
	}
	return data.MaterializeToBuffer(mem.DefaultBufferPool())
}
