package frontend

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/status"
)

// Numbers of the file descriptors of a process.
const (
	stdin  = 0
	stdout = 1
	stderr = 2
)

// maxStderr is how much a process may write to its stderr, in bytes: all of it
// crosses the connection to the daemon.
const maxStderr = 64 << 20

var errTooTalkative = errors.New("it wrote more than 64 MiB to its stderr")

// process is a process in a gateway container. Its stdin and stdout are the two
// directions of a connection.
type process struct {
	id     string
	stream gwpb.LLBBridge_ExecProcessClient
	sendMu sync.Mutex // a stream takes one Send at a time

	output  *io.PipeReader
	written *io.PipeWriter // closing one of these never fails
	log     io.Writer      // takes stderr

	closed    chan struct{} // closed when our end of the connection is
	closeOnce sync.Once
	inputOnce sync.Once

	ended chan struct{} // closed when the process has, with err set
	err   error
}

// startProcess starts a process as init says. It runs until it ends, or ctx does:
// the daemon kills it then. Stderr goes to log.
func startProcess(ctx context.Context, daemon gwpb.LLBBridgeClient, init *gwpb.InitMessage, log io.Writer) (*process, error) {
	stream, err := daemon.ExecProcess(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{id: rand.Text(), stream: stream, log: log, closed: make(chan struct{}), ended: make(chan struct{})}
	p.output, p.written = io.Pipe()
	init.Fds = []uint32{stdin, stdout, stderr}
	if err := p.send(&gwpb.ExecMessage{ProcessID: p.id, Input: &gwpb.ExecMessage_Init{Init: init}}); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = p.receive()
		_ = p.written.Close()
		_ = stream.CloseSend()
	}()
	return p, nil
}

// receive takes messages until the process has ended, and returns how.
func (p *process) receive() error {
	var exit error
	logged := 0
	for {
		msg, err := p.stream.Recv()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch m := msg.GetInput().(type) {
		case *gwpb.ExecMessage_File:
			switch {
			case m.File.GetFd() == stdout && m.File.GetEOF():
				_ = p.written.Close()
			case m.File.GetFd() == stdout:
				_, _ = p.written.Write(m.File.GetData()) // nobody reads it after the connection broke
			case m.File.GetFd() == stderr:
				_, _ = p.log.Write(m.File.GetData())
				if logged += len(m.File.GetData()); logged > maxStderr {
					return errTooTalkative
				}
			}
		case *gwpb.ExecMessage_Exit:
			if m.Exit.GetCode() != 0 || m.Exit.GetError() != nil {
				exit = &exitError{code: m.Exit.GetCode(), cause: status.ErrorProto(m.Exit.GetError())}
			}
			p.endInput() // the daemon says that it is done only then
		case *gwpb.ExecMessage_Done:
			return exit
		}
	}
}

// endInput ends stdin, once.
func (p *process) endInput() {
	p.inputOnce.Do(func() {
		_ = p.send(&gwpb.ExecMessage{ProcessID: p.id, Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Fd: stdin, EOF: true}}})
	})
}

func (p *process) send(msg *gwpb.ExecMessage) error {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	return p.stream.Send(msg)
}

// exitError says that a process failed.
type exitError struct {
	code  uint32
	cause error
}

func (e *exitError) Error() string {
	if e.code == gwpb.UnknownExitStatus && e.cause != nil {
		return legible(e.cause.Error())
	}
	return exitText(e.code)
}

func (e *exitError) Unwrap() error { return e.cause }

// Read reads what the process writes to its stdout.
func (p *process) Read(b []byte) (int, error) { return p.output.Read(b) }

// Write writes to the process's stdin.
func (p *process) Write(b []byte) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	case <-p.ended:
		return 0, io.ErrClosedPipe
	default:
	}
	msg := &gwpb.ExecMessage{ProcessID: p.id, Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Fd: stdin, Data: b}}}
	if err := p.send(msg); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends the connection and not the process.
func (p *process) Close() error {
	p.closeOnce.Do(func() {
		close(p.closed)
		_ = p.output.Close()
	})
	return nil
}

// A process has no address, and the deadline is that of its context.

// LocalAddr implements net.Conn.
func (p *process) LocalAddr() net.Addr { return processAddr{} }

// RemoteAddr implements net.Conn.
func (p *process) RemoteAddr() net.Addr { return processAddr{} }

// SetDeadline implements net.Conn.
func (p *process) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (p *process) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (p *process) SetWriteDeadline(time.Time) error { return nil }

type processAddr struct{}

func (processAddr) Network() string { return "process" }
func (processAddr) String() string  { return "inner frontend" }

// oneConn is a listener for one connection that exists already. It takes no other
// until it is closed.
type oneConn struct {
	conn  net.Conn
	taken bool
	done  chan struct{}
	once  sync.Once
}

func newOneConn(conn net.Conn) *oneConn { return &oneConn{conn: conn, done: make(chan struct{})} }

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }
