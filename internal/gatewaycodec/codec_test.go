package gatewaycodec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // the codec of package proto
	"github.com/stretchr/testify/require"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// definition has operations of this many bytes each, and all its other fields.
func definition(ops, size int) *pb.Definition {
	def := &pb.Definition{}
	fill(def.ProtoReflect(), 3)
	def.Def = nil
	for i := range ops {
		def.Def = append(def.Def, bytes.Repeat([]byte{byte(i)}, size))
	}
	return def
}

// fill sets every field of a message, and those of the messages in it down to a depth.
func fill(m protoreflect.Message, depth int) {
	value := func(
		field protoreflect.FieldDescriptor, inner func() protoreflect.Value,
	) (protoreflect.Value, bool) {
		switch field.Kind() {
		case protoreflect.MessageKind:
			v := inner()
			if depth > 0 {
				fill(v.Message(), depth-1)
			}
			return v, true
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(string(field.Name())), true
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte(field.Name())), true
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true), true
		case protoreflect.Int32Kind:
			return protoreflect.ValueOfInt32(int32(field.Number())), true
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(int64(field.Number())), true
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(1), true
		}
		return protoreflect.Value{}, false
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if of := field.ContainingOneof(); of != nil && m.WhichOneof(of) != nil {
			continue
		}
		switch {
		case field.IsMap():
			entries := m.Mutable(field).Map()
			if v, ok := value(field.MapValue(), entries.NewValue); ok {
				entries.Set(protoreflect.ValueOfString("key").MapKey(), v)
			}
		case field.IsList():
			list := m.Mutable(field).List()
			if v, ok := value(field, list.NewElement); ok {
				list.Append(v)
			}
		default:
			if v, ok := value(field, func() protoreflect.Value { return m.NewField(field) }); ok {
				m.Set(field, v)
			}
		}
	}
}

// messages are messages with operations, with all their other fields and with one unknown field.
func messages(def *pb.Definition) map[string]message {
	solve := &gwpb.SolveRequest{}
	fill(solve.ProtoReflect(), 3)
	solve.Definition = def
	ref := &gwpb.Result{
		Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "id", Def: def}},
		Metadata: map[string][]byte{"k": []byte("v")},
	}
	all := map[string]message{
		"a request to solve":    solve,
		"an answer to a solve":  &gwpb.SolveResponse{Ref: "old", Result: ref},
		"a result":              &gwpb.ReturnRequest{Result: ref},
		"one without operation": &gwpb.PongResponse{},
	}
	for _, m := range all {
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(
			protowire.AppendTag(nil, 4000, protowire.VarintType), 7,
		))
	}
	return all
}

func TestMessagesAreReadAndWrittenAsByTheEmbeddedCodec(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ ops, size int }{
		{0, 0}, {3, 10}, {20_000, 10}, {30, minPiece - 1}, {30, minPiece}, {3, 100_000},
	} {
		for name, m := range messages(definition(size.ops, size.size)) {
			name := fmt.Sprintf("%s with %d operations of %d bytes", name, size.ops, size.size)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := New()
				ours, err := c.Marshal(m)
				require.NoError(t, err)
				theirs, err := c.CodecV2.Marshal(m)
				require.NoError(t, err)

				for _, written := range []mem.BufferSlice{ours, theirs} {
					for _, by := range []encoding.CodecV2{c, c.CodecV2} {
						read := m.ProtoReflect().New().Interface()
						in := inFrames(written.Materialize())
						require.NoError(t, by.Unmarshal(in, read))
						want := m
						if by == encoding.CodecV2(c) && in.Len() >= minShared {
							want = withoutReturned(m)
						}
						require.True(t, proto.Equal(want, read))
					}
				}
			})
		}
	}
}

// withoutReturned returns a message as it is read that has more than a few operations.
func withoutReturned(m message) message {
	returned, ok := proto.Clone(m).(*gwpb.ReturnRequest)
	if !ok {
		return m
	}
	returned.GetResult().GetRef().GetDef().Def = nil
	return returned
}

// inFrames splits bytes into buffers as a connection does.
func inFrames(b []byte) mem.BufferSlice {
	const frame = 16 << 10
	var s mem.BufferSlice
	for len(b) > frame {
		s, b = append(s, mem.SliceBuffer(b[:frame])), b[frame:]
	}
	return append(s, mem.SliceBuffer(b))
}

func TestLargeOperationsAreNotCopied(t *testing.T) {
	t.Parallel()
	def := definition(30, 10_000)
	for name, m := range messages(def) {
		if pathTo(m) == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written, err := New().Marshal(m)
			require.NoError(t, err)
			shared := 0
			for _, b := range written {
				for _, op := range def.Def {
					if b.Len() > 0 && &b.ReadOnlyData()[0] == &op[0] {
						shared++
					}
				}
			}
			require.Equal(t, len(def.Def), shared)

			whole := written.Materialize()
			read, ok := m.ProtoReflect().New().Interface().(message)
			require.True(t, ok)
			done, err := unmarshal(whole, read, pathTo(read))
			require.NoError(t, err)
			require.True(t, done)
			op := definitionOf(read, pathTo(read)).Def[0]
			whole[bytes.Index(whole, op)] = 0xff
			require.Equal(t, byte(0xff), op[0])
		})
	}
}

// Keeping the operations of such a message must not keep the rest of it.
func TestAMessageWithFewOperationsIsNotShared(t *testing.T) {
	t.Parallel()
	dt, err := (&gwpb.SolveRequest{
		Definition:  &pb.Definition{Def: [][]byte{{1}}},
		FrontendOpt: map[string]string{"x": string(make([]byte, minShared))},
	}).MarshalVT()
	require.NoError(t, err)
	m := &gwpb.SolveRequest{}
	done, err := unmarshal(dt, m, pathTo(m))
	require.NoError(t, err)
	require.False(t, done)
}

// The buffers of a message are used again while the message is kept.
func TestAMessageDoesNotShareTheBuffersItCameIn(t *testing.T) {
	t.Parallel()
	def := definition(1, minShared)
	wire, err := New().Marshal(&gwpb.SolveRequest{Definition: def})
	require.NoError(t, err)
	buf := wire.Materialize()
	var read gwpb.SolveRequest
	require.NoError(t, New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(buf)}, &read))
	clear(buf)
	require.True(t, proto.Equal(def, read.Definition))
}

// A client returns the result that it got, with all of its operations.
func TestAReturnedResultIsReadWithoutItsOperations(t *testing.T) {
	t.Parallel()
	one := func(def *pb.Definition, metadata int) *gwpb.ReturnRequest {
		return &gwpb.ReturnRequest{Result: &gwpb.Result{
			Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "id", Def: def}},
			Metadata: map[string][]byte{"k": make([]byte, metadata)},
		}}
	}
	for name, tc := range map[string]struct {
		returned *gwpb.ReturnRequest
		kept     int
	}{
		"large operations":      {one(definition(30, 30_000), 0), 0},
		"many small operations": {one(definition(20_000, 10), maxRest/2), 0},
		"few operations":        {one(definition(3, 10), 0), 3},
		"too much else":         {one(definition(30, 30_000), maxRest+1), 30},
		"an error": {&gwpb.ReturnRequest{Error: &rpcstatus.Status{
			Message: strings.Repeat("x", minShared),
		}}, 0},
	} {
		wire, err := tc.returned.MarshalVT()
		require.NoError(t, err)
		in := inFrames(wire)
		weight := 0
		read := &Incoming{Message: &gwpb.ReturnRequest{}, Accept: func(bytes int) error {
			weight = bytes
			return nil
		}}
		require.NoError(t, New().Unmarshal(in, read), name)
		got, ok := read.Message.(*gwpb.ReturnRequest)
		require.True(t, ok)
		require.Len(t, got.GetResult().GetRef().GetDef().GetDef(), tc.kept, name)
		require.Equal(t, tc.kept == 30, weight > 900_000, "%s: %d", name, weight)
		if def := tc.returned.GetResult().GetRef().GetDef(); def != nil && tc.kept == 0 {
			def.Def = nil
		}
		require.True(t, proto.Equal(tc.returned, got), name)
		require.Equal(t, len(wire), in.Len(), "the bytes are still there")
	}
}

// Readers use stack for each level, without a limit.
func TestAMessageThatIsNestedTooDeeplyIsNotRead(t *testing.T) {
	t.Parallel()
	for levels, code := range map[int]codes.Code{10: codes.OK, 1000: codes.InvalidArgument} {
		def := &pb.Definition{}
		for range levels { // a definition names the source of a file that names its definition
			def = &pb.Definition{Source: &pb.Source{Infos: []*pb.SourceInfo{{Definition: def}}}}
		}
		wire, err := New().Marshal(&gwpb.SolveRequest{Definition: def})
		require.NoError(t, err)
		err = New().Unmarshal(wire, &gwpb.SolveRequest{})
		require.Equal(t, code, status.Code(err), "%d levels", levels)
	}
}

// Invariant: bytes in which readers could see different depths are rejected. All others give the
// same message, or the same failure, as in the embedded codec. A message that is written can be
// read again.
func FuzzMessages(f *testing.F) {
	kinds := []message{&gwpb.SolveRequest{}, &gwpb.SolveResponse{}, &gwpb.ReturnRequest{}}
	for _, m := range messages(definition(3, 10)) {
		wire, err := m.MarshalVT()
		require.NoError(f, err)
		for kind := range kinds {
			f.Add(uint8(kind), wire)
			f.Add(uint8(kind), append(wire, wire...)) // each message twice; a reader merges the two
		}
	}
	// Generated readers let the key of a map's entry run over into what follows the entry.
	f.Add(uint8(0), []byte("\x1a\x02\x0a\x03\x0a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, kind uint8, wire []byte) {
		fresh := func() message {
			m, ok := kinds[int(kind)%len(kinds)].ProtoReflect().New().Interface().(message)
			require.True(t, ok)
			return m
		}
		ours, theirs := fresh(), fresh()
		if _, ok := llbops.Weigh(wire, ours.ProtoReflect().Descriptor()); !ok {
			err := New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, ours)
			require.Equal(t, codes.InvalidArgument, status.Code(err))
			return
		}
		plain := theirs.UnmarshalVT(wire)
		frames := skipper{inFrames(wire).Reader()}
		if rest, ok := frames.skip(len(wire), pathTo(ours)); ok {
			skipped, without := fresh(), proto.Clone(theirs)
			err := skipped.UnmarshalVT(rest)
			require.Equal(t, plain == nil, err == nil, "%v, %v", plain, err)
			if def := definitionOf(without, pathTo(ours)); err == nil && def != nil {
				def.Def = nil
			}
			if err == nil {
				require.True(t, proto.Equal(without, skipped))
			}
		}
		if done, err := unmarshal(wire, ours, pathTo(ours)); done {
			require.Equal(t, plain == nil, err == nil, "%v, %v", plain, err)
			if err == nil {
				require.True(t, proto.Equal(theirs, ours))
			}
		}
		def := definitionOf(theirs, pathTo(theirs))
		if plain != nil || def == nil {
			return
		}
		def.Def = append(def.Def, make([]byte, minShared))
		written, ok := marshal(theirs, pathTo(theirs))
		require.True(t, ok)
		again := fresh()
		require.NoError(t, again.UnmarshalVT(written.Materialize()))
		require.True(t, proto.Equal(theirs, again))
	})
}
