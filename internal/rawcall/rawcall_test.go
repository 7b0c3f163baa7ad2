package rawcall

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const method = "/test.Service/Method"

func frameOf(text string) *Frame { return &Frame{Data: mem.BufferSlice{mem.SliceBuffer(text)}} }

// serve serves calls with a handler and returns a connection to it.
func serve(t *testing.T, handler grpc.StreamHandler) *grpc.ClientConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	s := Server(insecure.NewCredentials(), nil, handler)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	c, err := Dial("unix://" + path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// through returns a connection through a pipe to a daemon that serves calls with a handler.
func through(t *testing.T, first *Frame, daemon grpc.StreamHandler) *grpc.ClientConn {
	t.Helper()
	behind := serve(t, daemon)
	return serve(t, func(_ any, stream grpc.ServerStream) error {
		return Pipe{
			Client: stream, Daemon: behind, Method: method, First: first, Headers: []string{"kept"},
			Error: func(err error) error {
				return status.Errorf(status.Code(err), "passed on: %s", status.Convert(err).Message())
			},
		}.Run(stream.Context())
	})
}

func open(t *testing.T, c *grpc.ClientConn) (grpc.ClientStream, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := c.NewStream(ctx, &bidirectional, method, grpc.ForceCodecV2(Codec{}))
	require.NoError(t, err)
	return s, cancel
}

func receive(t *testing.T, s grpc.ClientStream) string {
	t.Helper()
	var f Frame
	require.NoError(t, s.RecvMsg(&f))
	defer f.Data.Free()
	return string(f.Data.Materialize())
}

// echo sends back what it gets, and ends with an error.
func echo(_ any, s grpc.ServerStream) error {
	if err := s.SendHeader(metadata.Pairs("kept", "a", "left-out", "b")); err != nil {
		return err
	}
	for {
		var f Frame
		err := s.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return status.Error(codes.NotFound, "the end")
		}
		if err != nil {
			return err
		}
		if err := s.SendMsg(&f); err != nil {
			return err
		}
	}
}

func TestACallIsPassedOn(t *testing.T) {
	t.Parallel()
	s, _ := open(t, through(t, nil, echo))
	header, err := s.Header()
	require.NoError(t, err, "the daemon's headers come before its first message")
	require.Equal(t, []string{"a"}, header.Get("kept"))
	require.Empty(t, header.Get("left-out"))
	for _, text := range []string{"first", strings.Repeat("x", 1<<20), ""} {
		require.NoError(t, s.SendMsg(frameOf(text)))
		require.Equal(t, text, receive(t, s))
	}
	require.NoError(t, s.CloseSend())
	err = s.RecvMsg(&Frame{})
	require.Equal(t, codes.NotFound, status.Code(err))
	require.ErrorContains(t, err, "passed on: the end")
}

func TestTheOnlyMessageCanBeAnother(t *testing.T) {
	t.Parallel()
	s, _ := open(t, through(t, frameOf("judged"), echo))
	require.Equal(t, "judged", receive(t, s))
	require.ErrorContains(t, s.RecvMsg(&Frame{}), "the end")
}

func TestTheEndOfTheClientsCallEndsTheDaemons(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	s, cancel := open(t, through(t, nil, func(_ any, s grpc.ServerStream) error {
		if err := s.SendMsg(frameOf("begun")); err != nil {
			return err
		}
		<-s.Context().Done()
		close(ended)
		return nil
	}))
	require.Equal(t, "begun", receive(t, s))
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the daemon's call goes on")
	}
}

// A client that sends faster than the daemon reads has to wait: otherwise, the messages would be in
// the memory of this process.
func TestEachSideIsReadOnlyAsFastAsTheOtherReads(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	s, _ := open(t, through(t, nil, func(_ any, s grpc.ServerStream) error {
		<-read
		return echo(nil, s)
	}))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 100 {
			if s.SendMsg(frameOf(strings.Repeat("x", 1<<20))) != nil {
				break
			}
		}
		_ = s.CloseSend()
	}()
	select {
	case <-sent:
		require.Fail(t, "nobody has read what was sent")
	case <-time.After(time.Second):
	}
	close(read)
	for range 100 {
		require.Len(t, receive(t, s), 1<<20)
	}
}

func TestAFrameTakesABufferOfAboutItsSize(t *testing.T) {
	t.Parallel()
	for size := range 16<<10 + 1 {
		require.GreaterOrEqual(t, BufferSize(size), size)
		if size > 1<<10 {
			require.Less(t, BufferSize(size), size+size/2)
		}
	}
	require.Equal(t, 20<<10, BufferSize(20<<10))
	caps := make(chan int, 1)
	s, _ := open(t, serve(t, func(_ any, s grpc.ServerStream) error {
		var f Frame
		if err := s.RecvMsg(&f); err != nil {
			return err
		}
		defer f.Data.Free()
		all := 0
		for _, b := range f.Data {
			all += cap(b.ReadOnlyData())
		}
		caps <- all
		return nil
	}))
	require.NoError(t, s.SendMsg(frameOf(strings.Repeat("x", 2100))))
	require.Less(t, <-caps, 2600)
}

func TestOtherMessagesAreNotRaw(t *testing.T) {
	t.Parallel()
	_, err := Codec{}.Marshal("text")
	require.ErrorContains(t, err, "the type string isn't raw")
	require.ErrorContains(t, Codec{}.Unmarshal(nil, "text"), "the type string isn't raw")
}
