package gatewaycodec

import (
	"bytes"
	"io"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// frames is a wire whose data came in frames of one size.
type frames struct {
	data *bytes.Reader
	size int
}

func (f frames) ReadMessageHeader(header []byte) error {
	_, err := io.ReadFull(f.data, header)
	return err
}

func (f frames) Read(n int) (mem.BufferSlice, error) {
	var all mem.BufferSlice
	for n > 0 {
		b := make(mem.SliceBuffer, min(n, f.size))
		if _, err := io.ReadFull(f.data, b); err != nil {
			return nil, io.EOF
		}
		all, n = append(all, b), n-len(b)
	}
	return all, nil
}

func TestAMessageInSmallFramesHasFewBuffers(t *testing.T) {
	t.Parallel()
	message := bytes.Repeat([]byte("abc"), 100_000)
	for _, size := range []int{1, 10, 1000, 16 << 10} {
		data, err := ReadMessage(frames{bytes.NewReader(message), size}, len(message))
		require.NoError(t, err)
		require.Equal(t, message, data.Materialize())
		require.LessOrEqual(t, len(data), maxBuffers*(len(message)/pieceSize+1), size)
	}
	_, err := ReadMessage(frames{bytes.NewReader(message), 10}, len(message)+1)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	data, err := ReadMessage(frames{}, 0)
	require.NoError(t, err)
	require.Empty(t, data)
}

func TestTheSizeOfTheNextMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		header []byte
		size   int
		code   codes.Code
	}{
		"a size":               {[]byte{0, 0, 0, 1, 2}, 258, codes.OK},
		"nothing":              {[]byte{0, 0, 0, 0, 0}, 0, codes.OK},
		"the largest":          {[]byte{0, 1, 0, 0, 0}, 16 << 20, codes.OK},
		"too large":            {[]byte{0, 1, 0, 0, 1}, 0, codes.ResourceExhausted},
		"the largest number":   {[]byte{0, 255, 255, 255, 255}, 0, codes.ResourceExhausted},
		"a compressed message": {[]byte{1, 0, 0, 0, 1}, 0, codes.Unimplemented},
	} {
		size, err := NextSize(frames{data: bytes.NewReader(tc.header)}, 16<<20)
		require.Equal(t, tc.code, status.Code(err), name)
		require.Equal(t, tc.size, size, name)
	}
	_, err := NextSize(frames{data: bytes.NewReader(nil)}, 1)
	require.ErrorIs(t, err, io.EOF)
	_, err = WireOf(t.Context())
	require.Error(t, err)
}

func TestWhatADaemonMayAnswer(t *testing.T) {
	t.Parallel()
	const most = 16 << 20
	for _, tc := range []struct {
		req  any
		want int64
	}{
		{&gwpb.ReadFileRequest{}, most},
		{&gwpb.ReadFileRequest{Range: &gwpb.FileRange{Length: 10}}, 10},
		{&gwpb.ReadFileRequest{Range: &gwpb.FileRange{Length: 1 << 40}}, most},
		{&gwpb.ReadFileRequest{Range: &gwpb.FileRange{Length: -1}}, most},
		{&gwpb.ReadDirRequest{}, most},
		{&gwpb.ResolveSourceMetaRequest{}, 1 << 20},
		{&gwpb.PingRequest{}, 0},
	} {
		require.Equal(t, tc.want, ExpectedAnswer(tc.req, most))
	}
}
