package frontend

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/frontend/facts"
)

// boundedCodec reads no message that is nested deeper than an honest one: BuildKit's
// generated readers take stack for each level without limit, and a process that is out of
// stack can't say why it ends.
type boundedCodec struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	if m, ok := v.(proto.Message); ok && !facts.Shallow(whole.ReadOnlyData(), m.ProtoReflect().Descriptor()) {
		return status.Errorf(codes.InvalidArgument, "a message of the type %s that is nested too deep to be read", m.ProtoReflect().Descriptor().Name())
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, v)
}
