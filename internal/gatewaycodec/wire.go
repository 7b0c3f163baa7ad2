package gatewaycodec

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// Wire is what gRPC's server itself reads from a call (internal/transport, ServerStream). Its
// [grpc.ServerStream] tells the size of a message only when it has all of it.
type Wire interface {
	// ReadMessageHeader waits for the next message and reads the five bytes before it. The error is
	// io.EOF after the last message.
	ReadMessageHeader(header []byte) error
	// Read reads that many bytes. It waits for them until the call ends.
	Read(bytes int) (mem.BufferSlice, error)
}

// WireOf returns the wire of the call that a server's context is about.
func WireOf(ctx context.Context) (Wire, error) {
	if wire, ok := grpc.ServerTransportStreamFromContext(ctx).(Wire); ok {
		return wire, nil
	}
	return nil, status.Error(codes.Internal, "gRPC doesn't say how large a message will be")
}

// NextSize waits for the next message and returns its size in bytes, before the message arrives.
// The error is io.EOF after the last message. Compressed messages and those of more than most bytes
// are refused.
func NextSize(wire Wire, most int) (int, error) {
	var header [5]byte // whether the message is compressed, and its size
	if err := wire.ReadMessageHeader(header[:]); err != nil {
		return 0, err
	}
	size := binary.BigEndian.Uint32(header[1:])
	switch {
	case header[0] != 0:
		return 0, status.Error(codes.Unimplemented, "compressed messages aren't supported")
	case uint64(size) > uint64(most):
		return 0, status.Errorf(codes.ResourceExhausted,
			"received message larger than max (%d vs. %d)", size, most)
	}
	return int(size), nil
}

const (
	// pieceSize is how many bytes of a message are read at once.
	pieceSize = 8 << 10
	// maxBuffers is how many buffers a piece may have before they are joined.
	maxBuffers = 8
)

// ReadMessage reads a message of that size. It waits for its bytes until the call ends. The error
// is io.ErrUnexpectedEOF if the call's messages end before that.
//
// Each frame of HTTP/2 has a buffer of its own, which takes 64 bytes beside what is in it. So a
// message that comes byte by byte would take 64 times its size. Small buffers are joined.
func ReadMessage(wire Wire, size int) (mem.BufferSlice, error) {
	var all mem.BufferSlice
	for size > 0 {
		piece, err := wire.Read(min(size, pieceSize))
		if err != nil {
			all.Free()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		size -= piece.Len()
		if len(piece) > maxBuffers {
			joined := piece.MaterializeToBuffer(mem.DefaultBufferPool())
			piece.Free()
			piece = mem.BufferSlice{joined}
		}
		all = append(all, piece...)
	}
	return all, nil
}

// ExpectedAnswer returns how many bytes a daemon may answer to a request, 0 if they are few. An
// answer has at most that many bytes as most says.
func ExpectedAnswer(req any, most int64) int64 {
	switch req := req.(type) {
	case *gwpb.ReadFileRequest:
		if n := req.GetRange().GetLength(); n > 0 {
			return min(n, most)
		}
		return most
	case *gwpb.ReadDirRequest:
		return most
	case *gwpb.ResolveImageConfigRequest, *gwpb.ResolveSourceMetaRequest:
		return 1 << 20
	}
	return 0
}
