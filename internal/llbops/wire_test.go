package llbops_test

import (
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// fill sets every field of a message, deep enough to reach each one. Of the fields of a oneof, it
// sets the one that pick chooses.
func fill(m protoreflect.Message, depth int, pick func(protoreflect.OneofDescriptor) int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if of := f.ContainingOneof(); of != nil && of.Fields().Get(pick(of)).Number() != f.Number() {
			continue
		}
		value := func(f protoreflect.FieldDescriptor,
			empty func() protoreflect.Value,
		) protoreflect.Value {
			switch f.Kind() {
			case protoreflect.MessageKind:
				v := empty()
				if depth > 0 {
					fill(v.Message(), depth-1, pick)
				}
				return v
			case protoreflect.StringKind:
				return protoreflect.ValueOfString("x")
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte("x"))
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(1)
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(1)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(1)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(1)
			default:
				return protoreflect.ValueOfUint64(1)
			}
		}
		switch {
		case f.IsMap():
			entry := m.Mutable(f).Map()
			entry.Set(protoreflect.ValueOfString("k").MapKey(), value(f.MapValue(), entry.NewValue))
		case f.IsList():
			list := m.Mutable(f).List()
			list.Append(value(f, list.NewElement))
			list.Append(value(f, list.NewElement))
		default:
			m.Set(f, value(f, func() protoreflect.Value { return m.NewField(f) }))
		}
	}
}

// each calls f for m and for every message within it.
func each(m protoreflect.Message, f func(protoreflect.Message)) {
	f(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				each(v.Message(), f)
				return true
			})
		case fd.IsMap() || fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				each(v.List().Get(i).Message(), f)
			}
		default:
			each(v.Message(), f)
		}
		return true
	})
}

// full returns an operation of each type with all fields set.
func full() []*pb.Op {
	var ops []*pb.Op
	types := (&pb.Op{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len()
	for i := range types {
		for action := range 5 { // of file operations
			op := &pb.Op{}
			fill(op.ProtoReflect(), 8, func(of protoreflect.OneofDescriptor) int {
				if of.Parent() == op.ProtoReflect().Descriptor() {
					return i
				}
				return action % of.Fields().Len()
			})
			ops = append(ops, op)
		}
	}
	return ops
}

func TestAFieldThatIsNotKnownIsFoundAtEveryDepth(t *testing.T) {
	t.Parallel()
	extra := protowire.AppendVarint(protowire.AppendTag(nil, 50, protowire.VarintType), 1)
	for _, op := range full() {
		require.False(t, llbops.HasUnknownFields(op))
		plain := ofDefinition(t, definition(t, op))
		for _, yielded := range plain {
			require.NotContains(t, yielded.Unknown, "fields that this version does not know", "%v", op)
		}
		each(op.ProtoReflect(), func(m protoreflect.Message) {
			m.SetUnknown(extra)
			require.True(t, llbops.HasUnknownFields(op), m.Descriptor().FullName())
			got := ofDefinition(t, definition(t, op))
			require.Len(t, got, 1)
			require.Contains(t, got[0].Unknown, "fields that this version does not know",
				m.Descriptor().FullName())
			m.SetUnknown(nil)
		})
	}
	src := &pb.SourceOp{Identifier: "local://x"}
	src.ProtoReflect().SetUnknown(extra)
	require.Contains(t, llbops.FromSource(src)[0].Unknown, "does not know")
}

func TestAFieldBesideTheOperationsThatIsNotKnownIsFound(t *testing.T) {
	t.Parallel()
	extra := protowire.AppendVarint(protowire.AppendTag(nil, 50, protowire.VarintType), 1)
	md := func() *pb.OpMetadata {
		return &pb.OpMetadata{
			ExportCache: &pb.ExportCache{}, ProgressGroup: &pb.ProgressGroup{},
			LinuxResources: &pb.LinuxResources{},
		}
	}
	def := &pb.Definition{Metadata: map[string]*pb.OpMetadata{"sha256:nothing": md()}}
	require.Empty(t, ofDefinition(t, def))
	each(def.ProtoReflect(), func(m protoreflect.Message) {
		m.SetUnknown(extra)
		got := ofDefinition(t, def)
		require.Len(t, got, 1, m.Descriptor().FullName())
		require.Contains(t, got[0].Unknown, "does not know")
		m.SetUnknown(nil)
	})
}

// BuildKit merges a repeated field, and v0.14 took the last one. So one operation can have network
// none for one version and network default for the other.
func TestAnOperationThatReadersReadDifferentlyIsUnknown(t *testing.T) {
	t.Parallel()
	exec := func(e *pb.ExecOp) []byte { return marshal(t, execOp(e)) }
	source := marshal(t, sourceOp("docker-image://docker.io/library/busybox:1", nil))
	for name, dt := range map[string][]byte{
		"the same type twice": append(exec(&pb.ExecOp{Network: pb.NetMode_NONE}),
			exec(&pb.ExecOp{})...),
		"two types": append(exec(&pb.ExecOp{}), source...),
		"two platforms": marshal(t,
			&pb.Op{Platform: &pb.Platform{OS: "linux"}, Op: execOp(&pb.ExecOp{}).Op},
			&pb.Op{Platform: &pb.Platform{OS: "windows"}}),
		"a number in the form of a text": append(protowire.AppendTag(nil, 1, protowire.VarintType), 1),
		"a field number beyond all others": append(source,
			protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), nil)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := read(&pb.Definition{Def: [][]byte{dt}})
			if err == nil { // the daemon can't read such a definition either
				require.Len(t, found, 1)
				require.Contains(t, found[0].Unknown, "read in two ways")
			}
		})
	}
}

// A new version of BuildKit may have fields that package llbops has to read. Add a field here only
// after you have checked what it means.
func TestEveryFieldOfAnOperationIsAccountedFor(t *testing.T) {
	t.Parallel()
	const nothing = "" // changes nothing that a rule can restrict
	accounted := map[string]string{
		"pb.Op.inputs": nothing, "pb.Op.exec": "ofExec", "pb.Op.source": "FromSource",
		"pb.Op.file": nothing, "pb.Op.build": "unknown", "pb.Op.merge": nothing,
		"pb.Op.diff": nothing, "pb.Op.passthrough": nothing, "pb.Op.platform": nothing,
		"pb.Op.constraints": nothing,
		"pb.ExecOp.meta":    "execOperation", "pb.ExecOp.mounts": "add",
		"pb.ExecOp.network": "execOperation", "pb.ExecOp.security": "execOperation",
		"pb.ExecOp.secretenv": "execOperation", "pb.ExecOp.cdiDevices": "execOperation",
		"pb.Meta.args": nothing, "pb.Meta.env": nothing, "pb.Meta.cwd": nothing, "pb.Meta.user": nothing,
		"pb.Meta.proxy_env":  nothing,
		"pb.Meta.extraHosts": "execOperation", "pb.Meta.hostname": nothing, "pb.Meta.ulimit": "limit",
		"pb.Meta.cgroupParent":              "execOperation",
		"pb.Meta.removeMountStubsRecursive": nothing, "pb.Meta.validExitCodes": nothing,
		"pb.Mount.input": nothing, "pb.Mount.selector": nothing, "pb.Mount.dest": nothing,
		"pb.Mount.output": nothing, "pb.Mount.readonly": nothing,
		"pb.Mount.mountType": "add", "pb.Mount.TmpfsOpt": nothing, "pb.Mount.cacheOpt": nothing,
		"pb.Mount.secretOpt": "add", "pb.Mount.SSHOpt": "add",
		"pb.Mount.resultID": nothing, "pb.Mount.contentCache": nothing,
		"pb.SourceOp.identifier": "FromSource", "pb.SourceOp.attrs": "FromSource",
		"pb.Definition.def": "FromDefinition", "pb.Definition.metadata": "strangeDefinition",
		"pb.Definition.Source":       "Place",
		"pb.OpMetadata.ignore_cache": nothing, "pb.OpMetadata.description": nothing,
		"pb.OpMetadata.export_cache": nothing, "pb.OpMetadata.caps": nothing,
		"pb.OpMetadata.progress_group": nothing, "pb.OpMetadata.linux_resources": nothing,
		"moby.buildkit.v1.frontend.NewContainerRequest.ContainerID": nothing,
		"moby.buildkit.v1.frontend.NewContainerRequest.Mounts":      "add",
		"moby.buildkit.v1.frontend.NewContainerRequest.Network":     "execOperation",
		"moby.buildkit.v1.frontend.NewContainerRequest.platform":    nothing,
		"moby.buildkit.v1.frontend.NewContainerRequest.constraints": nothing,
		"moby.buildkit.v1.frontend.NewContainerRequest.extraHosts":  "execOperation",
		"moby.buildkit.v1.frontend.NewContainerRequest.hostname":    nothing,
		"moby.buildkit.v1.frontend.InitMessage.ContainerID":         nothing,
		"moby.buildkit.v1.frontend.InitMessage.Meta":                "execOperation",
		"moby.buildkit.v1.frontend.InitMessage.Fds":                 nothing,
		"moby.buildkit.v1.frontend.InitMessage.Tty":                 nothing,
		"moby.buildkit.v1.frontend.InitMessage.Security":            "execOperation",
		"moby.buildkit.v1.frontend.InitMessage.secretenv":           "execOperation",
	}
	for _, m := range []proto.Message{
		&pb.Op{}, &pb.ExecOp{}, &pb.Meta{}, &pb.Mount{}, &pb.SourceOp{},
		&pb.Definition{}, &pb.OpMetadata{}, &gwpb.NewContainerRequest{}, &gwpb.InitMessage{},
	} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			require.Contains(t, accounted, string(fields.Get(i).FullName()),
				"look at what it means, then add it")
			require.Less(t, int(fields.Get(i).Number()), 64, "plain marks fields by their numbers")
		}
	}
}

// Generated readers go on behind what is broken here.
func TestDepthIsFoundBehindWhatIsBroken(t *testing.T) {
	t.Parallel()
	op := nested(1000)
	shape := (&pb.Op{}).ProtoReflect().Descriptor()
	_, ok := llbops.Weigh(op, shape)
	require.False(t, ok)
	for name, prefix := range map[string][]byte{
		"a number that is too large":   append(protowire.AppendVarint(nil, (1<<32+4000)<<3), 0),
		"a group that ends as another": {0xfb, 0x01, 0x8c, 0x02},
		"a varint that is too large": {
			0x90, 0xfa, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0x7f,
		},
	} {
		_, ok := llbops.Weigh(append(prefix, op...), shape)
		require.False(t, ok, name)
	}
	_, ok = llbops.Weigh(nested(9), shape)
	require.True(t, ok)
}

func TestAMessageWeighsWhatItTakesInMemory(t *testing.T) {
	t.Parallel()
	repeated := func(num protowire.Number, count int) []byte {
		var b []byte
		for range count {
			b = protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), nil)
		}
		return b
	}
	for name, tc := range map[string]struct {
		m       proto.Message
		b       []byte
		atLeast int
	}{
		"bytes count as they are": {
			&pb.Definition{}, protowire.AppendBytes([]byte{0x0a}, make([]byte, 1000)), 1000,
		},
		"empty operations have a place in a list": {&pb.Definition{}, repeated(1, 1000), 1000 * 24},
		"empty messages are structures":           {&pb.Op{}, repeated(1, 1000), 1000 * 56},
		"packed numbers are eight bytes": {
			&gwpb.InitMessage{}, protowire.AppendBytes([]byte{0x1a}, make([]byte, 1000)), 4000,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := llbops.Weigh(tc.b, tc.m.ProtoReflect().Descriptor())
			require.True(t, ok)
			require.GreaterOrEqual(t, got, tc.atLeast)
			require.LessOrEqual(t, got, 4*tc.atLeast)
		})
	}
}
