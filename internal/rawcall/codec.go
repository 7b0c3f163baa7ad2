package rawcall

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// Frame is a message as it travels, which nobody has read. Whoever reads it frees its Data.
type Frame struct{ Data mem.BufferSlice }

// Codec passes on messages without copying or reading them.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name implements [encoding.CodecV2]. It is the name of the codec that wrote the messages.
func (Codec) Name() string { return "proto" }

// Marshal implements [encoding.CodecV2] for a *[Frame]. It hands over the frame's buffers.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return nil, fmt.Errorf("internal: a message of the type %T isn't raw", v)
	}
	data := f.Data
	f.Data = nil
	return data, nil
}

// Unmarshal implements [encoding.CodecV2] for a *[Frame].
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return fmt.Errorf("internal: a message of the type %T isn't raw", v)
	}
	data.Ref()
	f.Data = data
	return nil
}
