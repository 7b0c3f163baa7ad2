package llbops

import (
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// built is a definition with two sources and a command.
func built(tb testing.TB, opts ...llb.RunOption) *pb.Definition {
	tb.Helper()
	file := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("FROM busybox\n"))
	where := file.Location([]*pb.Range{{Start: &pb.Position{Line: 1}}})
	st := llb.Image("busybox", where).
		Run(append([]llb.RunOption{llb.Shlex("true"), where}, opts...)...).Root()
	st = st.File(llb.Copy(llb.Image("alpine"), "/a", "/b"))
	def, err := st.Marshal(tb.Context(), llb.LinuxAmd64)
	require.NoError(tb, err)
	return def.ToPB()
}

// A client of BuildKit reads a result into a state, and writes it again as an input.
func TestADefinitionKeepsItsIdentityOnItsWayThroughAClient(t *testing.T) {
	t.Parallel()
	for name, def := range map[string]*pb.Definition{
		"a build":              built(t),
		"one without a cache":  built(t, llb.IgnoreCache),
		"one with other words": built(t, llb.WithCustomName("x")),
	} {
		want, clean, err := Identity(def)
		require.NoError(t, err, name)
		require.Nil(t, clean.Source, name)
		require.Equal(t, def.Def, clean.Def, name)
		op, err := llb.NewDefinitionOp(def)
		require.NoError(t, err)
		again, err := llb.NewState(op).Marshal(t.Context())
		require.NoError(t, err)
		got, _, err := Identity(again.ToPB())
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	empty, clean, err := Identity(&pb.Definition{})
	require.NoError(t, err)
	require.Empty(t, clean.Def)
	require.NotEmpty(t, empty)
}

func TestAnotherDefinitionHasAnotherIdentity(t *testing.T) {
	t.Parallel()
	want, _, err := Identity(built(t))
	require.NoError(t, err)
	for name, def := range map[string]*pb.Definition{
		"another command": built(t, llb.Shlex("false")),
		"no cache":        built(t, llb.IgnoreCache),
		"fewer files": func() *pb.Definition {
			def := built(t)
			head := &pb.Op{Inputs: []*pb.Input{{Digest: digest.FromBytes(def.Def[0]).String()}}}
			dt, err := head.MarshalVT()
			require.NoError(t, err)
			def.Def[len(def.Def)-1] = dt
			return def
		}(),
	} {
		got, _, err := Identity(def)
		require.NoError(t, err, name)
		require.NotEqual(t, want, got, name)
	}
	// What isn't needed is left out.
	more := built(t)
	extra, err := llb.Image("evil").Marshal(t.Context())
	require.NoError(t, err)
	more.Def = append([][]byte{extra.Def[0]}, more.Def...)
	got, clean, err := Identity(more)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, built(t).Def, clean.Def)
}

func TestADefinitionThatHarmsItsReadersHasNoIdentity(t *testing.T) {
	t.Parallel()
	with := func(change func(def *pb.Definition)) *pb.Definition {
		def := built(t)
		change(def)
		return def
	}
	head := func(inputs ...*pb.Input) func(*pb.Definition) {
		return func(def *pb.Definition) {
			dt, err := (&pb.Op{Inputs: inputs}).MarshalVT()
			require.NoError(t, err)
			def.Def[len(def.Def)-1] = dt
		}
	}
	first := digest.FromBytes(built(t).Def[0]).String()
	for name, def := range map[string]*pb.Definition{
		"bytes that are no operation": with(func(def *pb.Definition) { def.Def[0] = []byte{0xff} }),
		"no result":                   with(func(def *pb.Definition) { def.Def = def.Def[:len(def.Def)-1] }),
		"a result of nothing":         with(head()),
		"two results":                 with(head(&pb.Input{Digest: first}, &pb.Input{Digest: first})),
		"an unknown input":            with(head(&pb.Input{Digest: digest.FromString("x").String()})),
		"an output of a high number":  with(head(&pb.Input{Digest: first, Index: 1 << 40})),
		"an output below zero":        with(head(&pb.Input{Digest: first, Index: -1})),
		"an input that comes later": with(func(def *pb.Definition) {
			def.Def[0], def.Def[len(def.Def)-2] = def.Def[len(def.Def)-2], def.Def[0]
		}),
		"unknown fields": with(func(def *pb.Definition) {
			def.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01})
		}),
		"too many operations": {Def: make([][]byte, maxOps+1)},
		"inputs of too many outputs": with(func(def *pb.Definition) {
			var many [][]byte
			for i := range 101 {
				dt, err := (&pb.Op{
					Inputs: []*pb.Input{{Digest: first, Index: 999}},
					Op: &pb.Op_File{File: &pb.FileOp{Actions: []*pb.FileAction{{
						Output: int64(i),
					}}}},
				}).MarshalVT()
				require.NoError(t, err)
				many = append(many, dt)
			}
			def.Def = slices.Insert(def.Def, 1, many...)
		}),
	} {
		id, clean, err := Identity(proto.CloneOf(def))
		require.Error(t, err, name)
		require.Empty(t, id, name)
		require.Nil(t, clean, name)
	}
}

// Invariant: the inputs of an operation, and whether it is of a kind, are those that a reader of
// the whole operation finds.
func FuzzReadInputs(f *testing.F) {
	for _, dt := range built(f).Def {
		f.Add(dt)
	}
	f.Add([]byte{0x0a, 0x00, 0x0a, 0x03, 0x10, 0x80, 0x00}) // an empty input, and a long number
	f.Add([]byte{0x42, 0x03, 0x12, 0x01, 0xff})             // a number that doesn't end, in a list
	f.Fuzz(func(t *testing.T, dt []byte) {
		op, err := readOp(dt, anyKind)
		inputs, isResult, ok := readInputs(dt)
		require.Equal(t, err == nil && op != nil, ok)
		if !ok {
			return
		}
		require.Equal(t, op.GetOp() == nil, isResult)
		require.Len(t, inputs, len(op.GetInputs()))
		for i, in := range op.GetInputs() {
			require.True(t, proto.Equal(in, inputs[i]))
		}
	})
}
