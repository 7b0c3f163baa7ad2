package llbops

import (
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDepth is the largest depth of messages within an operation. Real frontends need ten.
const maxDepth = 64

// plain reports whether the bytes of a message can be read in only one way. All its fields must be
// known, at most depth levels deep. A field that isn't a list may be there only once. Only one
// field of a oneof may be there. It reports false for what no real frontend writes either, although
// daemons before v0.31.2 act on it: a negative index, or the removal of a path with "..".
//
// Readers treat a repeated field differently: today's BuildKit merges the two, and v0.14 takes the
// last. No real frontend writes one.
func plain(b []byte, of *shape, depth int) bool {
	if depth == 0 {
		return false
	}
	var once, oneofs uint64
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if int(num) >= len(of) {
			return false
		}
		field := of[num]
		if field == nil || !field.fits(typ) {
			return false
		}
		if !field.repeats && seen(&once, uint(num)) || field.isOneof && seen(&oneofs, field.oneof) {
			return false
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 || !field.plainValue(b[:n], typ, depth) {
			return false
		}
		b = b[n:]
	}
	return true
}

// shape is what [plain] needs to know of the fields of a message, by their numbers. Descriptors
// know it too, and take several times as long to say it.
type shape [64]*fieldShape

type fieldShape struct {
	repeats bool   // it is a list or a map
	isList  bool   // its numbers may share one field
	isBytes bool   // its value is a message, a string or bytes
	isNum   bool   // its value is a number
	isOneof bool   // it is in a oneof
	oneof   uint   // which one
	within  *shape // of the message that is its value; nil for none
	isIndex bool   // its value is the index of something
	least   int64  // the least index
	removes bool   // its value is a path that is removed
}

// opShape is the shape of an LLB operation.
var opShape = sync.OnceValue(func() *shape {
	return shapeOf((&pb.Op{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*shape{})
})

// shapeOf returns the shape of a message. made are those of the messages that have it.
func shapeOf(m protoreflect.MessageDescriptor, made map[protoreflect.FullName]*shape) *shape {
	if s := made[m.FullName()]; s != nil {
		return s
	}
	s := &shape{}
	made[m.FullName()] = s
	fields := m.Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if int(field.Number()) >= len(s) {
			continue // as if it were unknown; there is none
		}
		f := &fieldShape{
			repeats: field.IsList() || field.IsMap(), isList: field.IsList(), isBytes: isBytes(field),
			isNum:   isNumber(field),
			removes: m.Name() == "FileActionRm" && field.Kind() == protoreflect.StringKind,
		}
		if of := field.ContainingOneof(); of != nil {
			f.isOneof, f.oneof = true, uint(of.Index())
		}
		if field.Kind() == protoreflect.MessageKind {
			f.within = shapeOf(field.Message(), made)
		}
		f.least, f.isIndex = leastIndex(m, field)
		s[field.Number()] = f
	}
	return s
}

// isBytes reports whether a value of the field is a message, a string or bytes.
func isBytes(field protoreflect.FieldDescriptor) bool {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.StringKind, protoreflect.BytesKind:
		return true
	default:
		return false
	}
}

// isNumber reports whether a value of the field is a number that has more bytes if it is larger.
// The messages that are read have no others.
func isNumber(field protoreflect.FieldDescriptor) bool {
	switch field.Kind() {
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind,
		protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return true
	default:
		return false
	}
}

// fits reports whether the wire type is valid for the field. If it isn't, the field counts as
// unknown.
func (f *fieldShape) fits(typ protowire.Type) bool {
	switch typ {
	case protowire.BytesType:
		return f.isBytes || f.isNum && f.isList
	case protowire.VarintType:
		return f.isNum
	default:
		return false
	}
}

// plainValue reports whether the bytes of a field's value are plain: those of a message within, an
// index, the path of a removal, and numbers that share the field. All other values are. depth is
// that of the field's message.
func (f *fieldShape) plainValue(b []byte, typ protowire.Type, depth int) bool {
	switch {
	case f.within != nil:
		inner, n := protowire.ConsumeBytes(b)
		return n >= 0 && plain(inner, f.within, depth-1)
	case f.isIndex:
		v, n := protowire.ConsumeVarint(b)
		return n >= 0 && int64(v) >= f.least
	case f.removes:
		removed, n := protowire.ConsumeString(b)
		return n >= 0 && !slices.Contains(strings.Split(removed, "/"), "..")
	case f.isNum && typ == protowire.BytesType:
		return areVarints(b)
	default:
		return true
	}
}

// areVarints reports whether all numbers can be read that share one field (packed).
func areVarints(b []byte) bool {
	b, _ = protowire.ConsumeBytes(b)
	for len(b) > 0 {
		_, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// leastIndex returns the least value of a field that is an index of something. -1 stands for
// nothing where the field can be without an index (solver/pb/const.go, Empty and SkipOutput). ok is
// false for other fields.
func leastIndex(
	shape protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor,
) (least int64, ok bool) {
	if field.Kind() != protoreflect.Int64Kind || field.IsList() {
		return 0, false
	}
	switch field.Name() {
	case "index": // of another operation's output
		return 0, true
	case "input", "secondaryInput", "output":
		if shape.Name() == "NamedUserOpt" {
			return 0, true
		}
		return -1, true
	}
	return 0, false
}

// perField is about how many bytes a field takes in memory besides its own: the list, the map or
// the structure that holds it.
const perField = 64

// Weigh estimates how many bytes a message takes in memory once it is read. An empty message in a
// list is two bytes to send and a hundred to hold.
//
// ok is false if the messages within the message are nested deeper than real senders nest them. It
// is also false for a broken tag or group, which generated readers would read past.
func Weigh(b []byte, shape protoreflect.MessageDescriptor) (bytes int, ok bool) {
	fields := 0
	if !weigh(b, shape, maxDepth, &fields) {
		return 0, false
	}
	return len(b) + fields*perField, true
}

// WeighDefinition estimates how many bytes a definition takes in memory.
func WeighDefinition(def *pb.Definition) int {
	size := 0
	for _, op := range def.GetDef() {
		size += len(op) + perField
	}
	rest := &pb.Definition{Metadata: def.GetMetadata(), Source: def.GetSource()}
	b, err := rest.MarshalVT()
	if err != nil {
		return math.MaxInt32
	}
	of, ok := Weigh(b, rest.ProtoReflect().Descriptor())
	if !ok {
		return math.MaxInt32
	}
	return size + of
}

func weigh(b []byte, shape protoreflect.MessageDescriptor, depth int, fields *int) bool {
	if depth == 0 {
		return false
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return false
		}
		*fields++
		field := shape.Fields().ByNumber(num)
		if field != nil && typ == protowire.BytesType {
			inner, _ := protowire.ConsumeBytes(b)
			switch field.Kind() {
			case protoreflect.MessageKind:
				if !weigh(inner, field.Message(), depth-1, fields) {
					return false
				}
			case protoreflect.StringKind, protoreflect.BytesKind:
			default: // packed numbers: a byte each to send, up to eight to hold
				*fields += len(inner) * 8 / perField
			}
		}
		b = b[n:]
	}
	return true
}

// seen marks a bit and reports whether it was set before.
func seen(marks *uint64, bit uint) bool {
	before := *marks
	*marks |= 1 << bit
	return before == *marks
}

// HasUnknownFields reports whether a message has fields that this version does not know, at any
// depth.
func HasUnknownFields(m proto.Message) bool {
	return m != nil && hasUnknown(m.ProtoReflect())
}

func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Kind() == protoreflect.MessageKind {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					found = hasUnknown(v.Message())
					return !found
				})
			}
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := 0; i < v.List().Len() && !found; i++ {
				found = hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
