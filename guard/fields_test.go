package guard

import (
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestTheFieldsOfAJudgedMessage(t *testing.T) {
	t.Parallel()
	strange := func(m proto.Message) proto.Message {
		m.ProtoReflect().SetUnknown(protowire.AppendVarint(
			protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		return m
	}
	inMap := &gwpb.ReturnRequest{Result: &gwpb.Result{Result: &gwpb.Result_Refs{
		Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{"x": strange(&gwpb.Ref{}).(*gwpb.Ref)}},
	}}}
	inList := &spb.Policy{Rules: []*spb.Rule{{}, strange(&spb.Rule{}).(*spb.Rule)}}
	for name, tc := range map[string]struct {
		m   proto.Message
		why string
	}{
		"an unknown field in a message of a map":  {inMap, "Ref has fields that this version"},
		"an unknown field in a message of a list": {inList, "Rule has fields that this version"},
		"an unknown value of an enum": {
			&spb.Policy{Rules: []*spb.Rule{{Action: 7}}}, "doesn't know the value 7",
		},
		"a forbidden field":  {&gwpb.SolveRequest{Final: true}, "sets Final"},
		"an unknown message": {&gwpb.PingRequest{}, "doesn't know the message"},
	} {
		require.ErrorContains(t, checkShape(tc.m), tc.why, name)
	}

	dropped := &gwpb.ReturnRequest{Result: &gwpb.Result{Result: &gwpb.Result_Ref{
		Ref: &gwpb.Ref{Id: "x", Def: &pb.Definition{}},
	}}}
	require.NoError(t, checkShape(dropped))
	require.Equal(t, "x", dropped.Result.GetRef().Id)
	require.Nil(t, dropped.Result.GetRef().Def)
}

// Whatever a client sends, what is left of it has only fields that the table takes, and is the same
// after it has been sent and read again.
func FuzzCheckShape(f *testing.F) {
	for _, m := range []proto.Message{
		asking("docker/dockerfile:1", "a", "b"), &gwpb.SolveRequest{Final: true},
		&gwpb.SolveRequest{SourcePolicies: []*spb.Policy{{}}},
		&gwpb.SolveRequest{Definition: &pb.Definition{
			Def: [][]byte{{}}, Source: &pb.Source{Infos: []*pb.SourceInfo{{Definition: &pb.Definition{}}}},
		}},
	} {
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m gwpb.SolveRequest
		if proto.Unmarshal(data, &m) != nil || checkShape(&m) != nil {
			return
		}
		require.Empty(t, m.ProtoReflect().GetUnknown())
		for _, info := range m.GetDefinition().GetSource().GetInfos() {
			require.Nil(t, info.GetDefinition())
		}
		sent, err := written(&m)
		require.NoError(t, err)
		var again gwpb.SolveRequest
		require.NoError(t, readFrame(sent, &again))
		require.True(t, proto.Equal(&m, &again))
		require.NoError(t, checkShape(&again))
	})
}
