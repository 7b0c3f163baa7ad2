package gatewaycodec

import (
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is one of BuildKit's messages with the code that is generated for it.
type message interface {
	proto.Message
	MarshalVT() ([]byte, error)
	UnmarshalVT(data []byte) error
}

// pathTo returns the field numbers that lead from a message to the operations of its definition. It
// returns nil if the message has no definition or several (frontend/gateway/pb/gateway.proto,
// solver/pb/ops.proto).
func pathTo(m any) []protowire.Number {
	switch m.(type) {
	case *gwpb.SolveRequest:
		return []protowire.Number{1, 1} // Definition, def
	case *gwpb.SolveResponse:
		return []protowire.Number{3, 3, 2, 1} // result, ref, def, def
	case *gwpb.ReturnRequest:
		return []protowire.Number{1, 3, 2, 1} // result, ref, def, def
	}
	return nil
}

// unmarshal reads a message so that its operations share the bytes of b. It isn't done if
// operations are less than half of the message, or if only a general reader understands its
// encoding.
func unmarshal(b []byte, m message, path []protowire.Number) (done bool, err error) {
	if len(path) == 0 {
		return false, nil
	}
	rest, ops, ok := cut(b, path)
	if !ok || len(rest) > len(b)/2 { // keeping a few operations must not keep all of it
		return false, nil
	}
	if err := m.UnmarshalVT(rest); err != nil {
		return true, err
	}
	if def := definitionOf(m, path); def != nil {
		def.Def = ops
	}
	return true, nil
}

// cut splits a message into its operations and the rest. ok is false if a message on the path is
// malformed or occurs twice: a reader would merge the two.
func cut(b []byte, path []protowire.Number) (rest []byte, ops [][]byte, ok bool) {
	last, found := len(path) == 1, false
	for len(b) > 0 {
		num, typ, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			return nil, nil, false
		}
		n := protowire.ConsumeFieldValue(num, typ, b[tag:])
		if n < 0 {
			return nil, nil, false
		}
		field := b[:tag+n]
		b = b[tag+n:]
		if num != path[0] {
			rest = append(rest, field...)
			continue
		}
		if typ != protowire.BytesType || (found && !last) {
			return nil, nil, false
		}
		found = true
		value, _ := protowire.ConsumeBytes(field[tag:])
		if last {
			ops = append(ops, value[:len(value):len(value)])
			continue
		}
		var within []byte
		if within, ops, ok = cut(value, path[1:]); !ok {
			return nil, nil, false
		}
		rest = protowire.AppendBytes(protowire.AppendTag(rest, num, typ), within)
	}
	return rest, ops, true
}

// definitionOf returns the definition at the end of a path, nil if the message has none.
func definitionOf(m proto.Message, path []protowire.Number) *pb.Definition {
	at := m.ProtoReflect()
	for _, num := range path[:len(path)-1] {
		field := at.Descriptor().Fields().ByNumber(num)
		if !at.Has(field) {
			return nil
		}
		at = at.Get(field).Message()
	}
	def, _ := at.Interface().(*pb.Definition)
	return def
}

// marshal writes a message in pieces, where each large operation is a piece of its own. ok is false
// if there are too few operations to be worth it, or if the message can't be written.
func marshal(m message, path []protowire.Number) (mem.BufferSlice, bool) {
	if len(path) == 0 {
		return nil, false
	}
	def := definitionOf(m, path)
	ops := 0
	for _, op := range def.GetDef() {
		ops += protowire.SizeTag(path[len(path)-1]) + protowire.SizeBytes(len(op))
	}
	if ops < minShared {
		return nil, false
	}
	heads, ok := headsOf(m, path)
	if !ok {
		return nil, false
	}
	// In each message the next one comes last, so all of them end where the operations end.
	size := make([]int, len(heads))
	for i := len(heads) - 1; i >= 0; i-- {
		size[i] = len(heads[i]) + ops
		if i < len(heads)-1 {
			size[i] = len(heads[i]) + protowire.SizeTag(path[i]) + protowire.SizeBytes(size[i+1])
		}
	}
	var p pieces
	for i, head := range heads {
		p.small = append(p.small, head...)
		if i < len(heads)-1 {
			p.head(path[i], size[i+1])
		}
	}
	for _, op := range def.GetDef() {
		p.head(path[len(path)-1], len(op))
		p.add(op)
	}
	return p.all(), true
}

// headsOf returns, for each message on the path, all its fields but the one that leads on.
func headsOf(m proto.Message, path []protowire.Number) (heads [][]byte, ok bool) {
	at := m.ProtoReflect()
	for i, num := range path {
		field := at.Descriptor().Fields().ByNumber(num)
		alone, ok := without(at, field).(message)
		if !ok {
			return nil, false
		}
		head, err := alone.MarshalVT()
		if err != nil {
			return nil, false
		}
		heads = append(heads, head)
		if i < len(path)-1 {
			at = at.Get(field).Message()
		}
	}
	return heads, true
}

// without returns a message with all fields of m but one. Both share the fields.
func without(m protoreflect.Message, but protoreflect.FieldDescriptor) proto.Message {
	to := m.New()
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if field != but {
			to.Set(field, v)
		}
		return true
	})
	to.SetUnknown(m.GetUnknown())
	return to.Interface()
}

// pieces are the bytes of a message: small ones are joined, large ones stay as they are.
type pieces struct {
	done  mem.BufferSlice
	small []byte
}

// minPiece is the size in bytes from which an operation is a piece of its own.
const minPiece = 4 << 10

// head adds the tag and the length that precede a field's bytes.
func (p *pieces) head(num protowire.Number, size int) {
	p.small = protowire.AppendTag(p.small, num, protowire.BytesType)
	p.small = protowire.AppendVarint(p.small, uint64(size))
}

func (p *pieces) add(b []byte) {
	if len(b) < minPiece {
		p.small = append(p.small, b...)
		return
	}
	p.done = append(p.done, mem.SliceBuffer(p.small), mem.SliceBuffer(b))
	p.small = nil
}

func (p *pieces) all() mem.BufferSlice {
	if len(p.small) == 0 {
		return p.done
	}
	return append(p.done, mem.SliceBuffer(p.small))
}
