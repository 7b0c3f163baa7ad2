package gatewaycodec

import (
	"errors"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestWrittenIsCalledOnceWhenTheBytesAreFreed(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]proto.Message{
		"a file":                &gwpb.ReadFileResponse{Data: make([]byte, 1<<20)},
		"operations, shared":    &gwpb.SolveRequest{Definition: definition(100, 8<<10)},
		"a few bytes":           &gwpb.ReadFileResponse{Data: []byte("x")},
		"nothing":               &gwpb.ReadFileResponse{},
		"small operations last": &gwpb.SolveRequest{Definition: definition(5000, 100)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := New().Marshal(m)
			require.NoError(t, err)
			written := 0
			out := &Outgoing{Message: m, Written: func() { written++ }}
			data, err := New().Marshal(out)
			require.NoError(t, err)
			require.Nil(t, out.Message, "a message doesn't take memory beside its bytes")
			require.Equal(t, len(want.Materialize()), data.Len())
			data.Ref() // as the transport does while it writes
			data.Free()
			require.Zero(t, written)
			data.Free()
			require.Equal(t, 1, written)
		})
	}
}

func TestAMessageThatIsNotAcceptedIsNotRead(t *testing.T) {
	t.Parallel()
	sent := &gwpb.ReadFileRequest{Ref: "r", FilePath: "/f"}
	wire, err := proto.Marshal(sent)
	require.NoError(t, err)
	full := errors.New("full")
	for name, answer := range map[string]error{"accepted": nil, "not accepted": full} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got gwpb.ReadFileRequest
			in := &Incoming{Message: &got, Accept: func(bytes int) error {
				require.Greater(t, bytes, len(wire))
				return answer
			}}
			require.NoError(t, New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, in))
			require.Equal(t, answer, in.Err)
			require.Equal(t, answer == nil, proto.Equal(sent, &got))
		})
	}
}
