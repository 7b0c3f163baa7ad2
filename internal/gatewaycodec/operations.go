package gatewaycodec

import (
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message is one of BuildKit's, with the code that is generated for it.
type message interface {
	proto.Message
	MarshalVT() ([]byte, error)
	UnmarshalVT(data []byte) error
}

// pathTo returns the numbers of the fields that lead to the operations of the definition
// of a message, nil if there is none, or more than one (frontend/gateway/pb/gateway.proto,
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

// unmarshal reads a message whose operations then share its bytes. It is not done unless
// most of the message is operations, or if it is written in a way that only a general
// reader knows.
func unmarshal(b []byte, m message, path []protowire.Number) (done bool, err error) {
	if len(path) == 0 {
		return false, nil
	}
	rest, ops, ok := cut(b, path)
	if !ok || len(rest) > len(b)/2 { // who keeps a few operations must not keep all of it
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

// cut returns a message without its operations, and these. It is not ok if a message on
// the path can't be read, or is there more than once: the second is merged with the first.
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

// definitionOf returns the definition at the end of a path, nil if there is none.
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

// marshal writes a message in pieces, of which the larger operations are some. It is not
// ok if there are too few of them, or if the message can't be written.
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
	// What is within a message comes last in it, so that all end where the operations do.
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
			p.small = protowire.AppendVarint(protowire.AppendTag(p.small, path[i], protowire.BytesType), uint64(size[i+1]))
		}
	}
	for _, op := range def.GetDef() {
		p.small = protowire.AppendVarint(protowire.AppendTag(p.small, path[len(path)-1], protowire.BytesType), uint64(len(op)))
		p.add(op)
	}
	return p.all(), true
}

// headsOf returns what each message on the path has beside the next one, or the
// operations.
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

// without returns a message that has all of another one's fields but one, and shares them.
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

// pieces are the bytes of a message: small ones put together, large ones as they are.
type pieces struct {
	done  mem.BufferSlice
	small []byte
}

// minPiece is the size in bytes from which on one is a piece of its own.
const minPiece = 4 << 10

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
