package gatewaycodec

import (
	"encoding/binary"
	"io"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// readReturned returns the bytes of a result that a client returns, without the operations of its
// definition. It leaves other messages as they are, small ones too, and those that only a general
// reader understands.
func readReturned(data mem.BufferSlice, v any) mem.BufferSlice {
	m, ok := v.(*gwpb.ReturnRequest)
	if !ok || data.Len() < minShared {
		return data
	}
	s := skipper{data.Reader()}
	defer func() { _ = s.Close() }() // never fails
	rest, ok := s.skip(s.Remaining(), pathTo(m))
	if !ok {
		return data
	}
	return mem.BufferSlice{mem.SliceBuffer(rest)}
}

// maxRest bounds what a result has beside its operations, in bytes. Others are read as a whole.
const maxRest = 256 << 10

// skipper reads a message in the buffers in which it came.
type skipper struct{ *mem.Reader }

// skip reads the next bytes as a message, and returns it without the field at the end of the path.
// ok is false if the message is malformed, has groups, or has too much else.
func (s skipper) skip(size int, path []protowire.Number) (rest []byte, ok bool) {
	end := s.Remaining() - size
	for s.Remaining() > end {
		if len(rest) > maxRest {
			return nil, false
		}
		tag, ok := s.varint()
		num, typ := protowire.DecodeTag(tag)
		if !ok || !num.IsValid() {
			return nil, false
		}
		value, n, ok := s.sizeOf(typ)
		if !ok || value > s.Remaining()-end {
			return nil, false
		}
		onPath := num == path[0] && typ == protowire.BytesType
		if onPath && len(path) == 1 {
			if _, err := s.Discard(value); err != nil {
				return nil, false
			}
			continue
		}
		var kept []byte
		if onPath {
			kept, ok = s.skip(value, path[1:])
			n = uint64(len(kept))
		} else {
			kept, ok = s.keep(value)
		}
		if !ok {
			return nil, false
		}
		rest = protowire.AppendTag(rest, num, typ)
		if typ == protowire.BytesType || typ == protowire.VarintType {
			rest = protowire.AppendVarint(rest, n)
		}
		rest = append(rest, kept...)
	}
	return rest, s.Remaining() == end
}

// sizeOf returns how many bytes of a field follow, and the number that it has read before them:
// their number, or the whole value.
func (s skipper) sizeOf(typ protowire.Type) (value int, n uint64, ok bool) {
	switch typ {
	case protowire.VarintType:
		n, ok = s.varint()
		return 0, n, ok
	case protowire.BytesType:
		n, ok = s.varint()
		if !ok || n > uint64(s.Remaining()) {
			return 0, 0, false
		}
		return int(n), n, true
	case protowire.Fixed32Type:
		return 4, 0, true
	case protowire.Fixed64Type:
		return 8, 0, true
	default: // groups, which no message here has
		return 0, 0, false
	}
}

// varint reads a number. ok is false if it isn't written in the shortest way.
func (s skipper) varint() (v uint64, ok bool) {
	before := s.Remaining()
	v, err := binary.ReadUvarint(s)
	return v, err == nil && before-s.Remaining() == protowire.SizeVarint(v)
}

// keep reads the next bytes.
func (s skipper) keep(bytes int) ([]byte, bool) {
	if bytes > maxRest {
		return nil, false
	}
	kept := make([]byte, bytes)
	_, err := io.ReadFull(s, kept)
	return kept, err == nil
}
