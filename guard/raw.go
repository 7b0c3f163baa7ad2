package guard

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
)

// frame is a message as it travels, which nobody has read.
type frame struct{ data mem.BufferSlice }

// raw is a codec that passes on messages without copying or reading them.
type raw struct{}

var _ encoding.CodecV2 = raw{}

// Name implements [encoding.CodecV2]. It is the name of the codec that wrote the messages.
func (raw) Name() string { return "proto" }

// Marshal implements [encoding.CodecV2] for a *frame. It hands over the frame's buffers.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("internal: a message of the type %T isn't raw", v)
	}
	data := f.data
	f.data = nil
	return data, nil
}

// Unmarshal implements [encoding.CodecV2] for a *frame.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("internal: a message of the type %T isn't raw", v)
	}
	data.Ref()
	f.data = data
	return nil
}

// codec reads the messages that are judged. It refuses messages that are nested too deeply.
var codec = gatewaycodec.New()

// read reads the frame into m and frees it. m is a message, or a [gatewaycodec.Incoming].
func (f *frame) read(m any) error {
	defer f.data.Free()
	return codec.Unmarshal(f.data, m)
}

// written returns the frame of a message.
func written(m proto.Message) (*frame, error) {
	data, err := codec.Marshal(m)
	return &frame{data: data}, err
}
