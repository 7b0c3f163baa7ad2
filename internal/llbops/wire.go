package llbops

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDepth is how deep messages can be within an operation; honest ones need ten.
const maxDepth = 64

// plain reports whether the bytes of a message can be read in one way only: all
// its fields are known, at every depth, which is at most depth, a field that isn't a
// list is there at most once, and of fields that exclude each other at most one.
//
// Readers differ in what they make of a field that is there twice: today's BuildKit
// merges the two, v0.14 takes the last. No honest writer writes it.
func plain(b []byte, shape protoreflect.MessageDescriptor, depth int) bool {
	if depth == 0 {
		return false
	}
	var once, oneofs uint64
	fields := shape.Fields()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		field := fields.ByNumber(num)
		if field == nil || num > 63 || !fits(field, typ) {
			return false
		}
		if !field.IsList() && !field.IsMap() && seen(&once, uint(num)) {
			return false
		}
		if of := field.ContainingOneof(); of != nil && seen(&oneofs, uint(of.Index())) {
			return false
		}
		if field.Kind() == protoreflect.MessageKind {
			inner, n := protowire.ConsumeBytes(b)
			if n < 0 || !plain(inner, field.Message(), depth-1) {
				return false
			}
			b = b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// Shallow reports whether the messages within the bytes of one are nested no deeper than
// those of honest senders, as far as all readers agree what is in them: generated ones go on
// where others find a tag or a group broken.
func Shallow(
	b []byte, shape protoreflect.MessageDescriptor,
) bool {
	return shallow(b, shape, maxDepth)
}

func shallow(b []byte, shape protoreflect.MessageDescriptor, depth int) bool {
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
		field := shape.Fields().ByNumber(num)
		if field != nil && field.Kind() == protoreflect.MessageKind && typ == protowire.BytesType {
			if inner, _ := protowire.ConsumeBytes(b); !shallow(inner, field.Message(), depth-1) {
				return false
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

// fits reports whether a field may be written with a wire type. One that may not is
// as good as unknown.
func fits(field protoreflect.FieldDescriptor, typ protowire.Type) bool {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.StringKind, protoreflect.BytesKind:
		return typ == protowire.BytesType
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.Int32Kind, protoreflect.Int64Kind,
		protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return typ == protowire.VarintType || (field.IsList() && typ == protowire.BytesType)
	default: // none in the messages that are read
		return false
	}
}

// HasUnknownFields reports whether a message has fields, at any depth, that this
// version does not know.
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
