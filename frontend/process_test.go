package frontend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// fakeStream is the daemon's end of one process.
type fakeStream struct {
	grpc.ClientStream
	ctx      context.Context //nolint:containedctx // a stream has one
	sent     chan *gwpb.ExecMessage
	received chan *gwpb.ExecMessage
}

func (s *fakeStream) Send(m *gwpb.ExecMessage) error {
	select {
	case s.sent <- m:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *fakeStream) Recv() (*gwpb.ExecMessage, error) {
	select {
	case m, ok := <-s.received:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *fakeStream) CloseSend() error { return nil }

func (s *fakeStream) writes(fd uint32, data string) {
	s.received <- &gwpb.ExecMessage{
		Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Fd: fd, Data: []byte(data)}},
	}
}

func (s *fakeStream) exits(code uint32) {
	s.received <- &gwpb.ExecMessage{
		Input: &gwpb.ExecMessage_Exit{Exit: &gwpb.ExitMessage{Code: code}},
	}
}

func (s *fakeStream) isDone() {
	s.received <- &gwpb.ExecMessage{Input: &gwpb.ExecMessage_Done{Done: &gwpb.DoneMessage{}}}
}

type streamer struct {
	gwpb.LLBBridgeClient
	stream *fakeStream
}

func (s streamer) ExecProcess(
	ctx context.Context, _ ...grpc.CallOption,
) (gwpb.LLBBridge_ExecProcessClient, error) {
	s.stream.ctx = ctx
	return s.stream, nil
}

func start(ctx context.Context, t *testing.T, log io.Writer) (*process, *fakeStream) {
	t.Helper()
	s := &fakeStream{sent: make(chan *gwpb.ExecMessage, 10), received: make(chan *gwpb.ExecMessage)}
	p, err := startProcess(ctx, streamer{stream: s}, &gwpb.InitMessage{ContainerID: "c"}, log)
	require.NoError(t, err)
	first := <-s.sent
	require.Equal(t, []uint32{0, 1, 2}, first.GetInit().GetFds())
	require.NotEmpty(t, first.ProcessID)
	return p, s
}

// listen reads what a process writes and then closes the connection, as a server does.
func listen(p *process) {
	_, _ = io.Copy(io.Discard, p)
	_ = p.Close()
}

func TestAProcessIsAConnection(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p, s := start(t.Context(), t, &log)
	go func() {
		s.writes(stdout, "hello")
		s.writes(stderr, "trouble")
		s.writes(stdout, " world")
		s.exits(0)
		s.isDone()
	}()
	got, err := io.ReadAll(p)
	require.NoError(t, err)
	require.Equal(t, "hello world", string(got))
	<-p.ended
	require.NoError(t, p.err)
	require.Equal(t, "trouble", log.String())
	eof := <-s.sent
	require.True(t, eof.GetFile().GetEOF(), "stdin ends when the process has")
	require.Equal(t, uint32(stdin), eof.GetFile().GetFd())
	_, err = p.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestHowAProcessEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		daemon func(*fakeStream)
		want   string
	}{
		"with an exit code": {
			func(s *fakeStream) { s.exits(3); s.isDone() },
			"exit code 3",
		},
		"with the daemon's stream": {
			func(s *fakeStream) { close(s.received) },
			"unexpected EOF",
		},
		"when it says too much": {
			func(s *fakeStream) {
				s.writes(stderr, strings.Repeat("x", maxStderr))
				s.writes(stderr, "x")
			},
			errTooTalkative.Error(),
		},
		"with what the daemon says": {
			func(s *fakeStream) { s.exits(gwpb.UnknownExitStatus); s.isDone() },
			"exit code 255",
		},
		"with an exit code after it is done": {
			func(s *fakeStream) { s.isDone(); s.exits(42) },
			"exit code 42",
		},
		"well, after it is done": {func(s *fakeStream) { s.isDone(); s.exits(0) }, ""},
		"with no word on its end": {
			func(s *fakeStream) { s.isDone(); close(s.received) },
			"unexpected EOF",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, s := start(t.Context(), t, io.Discard)
			go tc.daemon(s)
			listen(p)
			<-p.ended
			if tc.want == "" {
				require.NoError(t, p.err)
				return
			}
			require.EqualError(t, p.err, tc.want)
		})
	}
}

func TestAProcessGetsNothingAfterTheEndOfItsStdin(t *testing.T) {
	t.Parallel()
	p, s := start(t.Context(), t, io.Discard)
	p.endInput()
	_, err := p.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
	p.endInput()
	require.True(t, (<-s.sent).GetFile().GetEOF())
	require.Empty(t, s.sent)
	go func() {
		s.exits(0)
		s.isDone()
	}()
	listen(p)
	<-p.ended
	require.NoError(t, p.err)
}

func TestAProcessEndsEvenIfNobodyReadsIt(t *testing.T) {
	t.Parallel()
	p, s := start(t.Context(), t, io.Discard)
	go listen(p)
	s.writes(stdout, "heard")
	require.NoError(t, p.Close())
	for range 10 {
		s.writes(stdout, "endless")
	}
	s.exits(0)
	s.isDone()
	<-p.ended
	_, err := p.Write([]byte("x"))
	ended := errors.Is(err, io.ErrClosedPipe)
	require.True(t, ended || errors.Is(err, net.ErrClosed), "%v", err)
}

func TestWaitingForAProcess(t *testing.T) {
	t.Parallel()
	type cancelFunc = context.CancelCauseFunc
	const (
		lingered = "it kept running for 30s after it returned its result"
		deaf     = "it kept running for 10s after its connection was closed"
	)
	cause := errors.New("refused")
	for name, tc := range map[string]struct {
		happens func(
			p *process, s *fakeStream, returned chan struct{}, cancel context.CancelCauseFunc,
		)
		want  string
		after time.Duration
		stdin bool // has ended
	}{
		"it ends after it has returned": {happens: func(
			_ *process, s *fakeStream, returned chan struct{}, _ cancelFunc,
		) {
			close(returned)
			<-time.After(time.Millisecond)
			s.exits(0)
			s.isDone()
		}, want: "", after: time.Millisecond, stdin: true},
		"it does not end before its stdin, after it has returned": {happens: func(
			_ *process, s *fakeStream, returned chan struct{}, _ cancelFunc,
		) {
			close(returned)
			<-s.sent
			s.exits(0)
			s.isDone()
		}, want: "", after: stdinCloseDelay, stdin: true},
		"it never ends after it has returned": {happens: func(
			_ *process, _ *fakeStream, returned chan struct{}, _ cancelFunc,
		) {
			close(returned)
		}, want: lingered, after: returnGrace, stdin: true},
		"it never ends after it has returned, and then the connection has": {happens: func(
			p *process, _ *fakeStream, returned chan struct{}, _ cancelFunc,
		) {
			close(returned)
			<-time.After(time.Second)
			_ = p.Close()
		}, want: lingered, after: returnGrace, stdin: true},
		"it never ends after the connection has": {happens: func(
			p *process, _ *fakeStream, _ chan struct{}, _ cancelFunc,
		) {
			_ = p.Close()
		}, want: deaf, after: closeGrace, stdin: true},
		"it is to end": {happens: func(
			_ *process, _ *fakeStream, _ chan struct{}, cancel cancelFunc,
		) {
			<-time.After(time.Hour)
			cancel(cause)
		}, want: "refused", after: time.Hour, stdin: false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				p, s := start(ctx, t, io.Discard)
				returned := make(chan struct{})
				go listen(p)
				go tc.happens(p, s, returned, cancel)
				began := time.Now()
				err := p.wait(ctx, returned)
				if tc.want == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, tc.want)
				}
				require.Equal(t, tc.after, time.Since(began))
				cancel(nil)
				<-p.ended
				synctest.Wait()
				// In one case the daemon has already taken the end of stdin.
				taken := name == "it does not end before its stdin, after it has returned"
				require.Equal(t, tc.stdin, taken || len(s.sent) == 1)
			})
		})
	}
}

func TestATailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var last tail
	for range 100 {
		_, err := last.Write([]byte(strings.Repeat("x", 1000)))
		require.NoError(t, err)
	}
	_, err := last.Write([]byte("\x1b[31mthe end\n"))
	require.NoError(t, err)
	require.True(
		t, strings.HasSuffix(last.String(), "x[31mthe end"), "without what a terminal acts on: %q",
		last.String(),
	)
	require.LessOrEqual(t, len(last.String()), maxTail)
}
