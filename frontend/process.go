package frontend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// Numbers of a process's file descriptors.
const (
	stdin  = 0
	stdout = 1
	stderr = 2
)

// maxStderr bounds the bytes that a process may write to its stderr. All of them cross the
// connection to the daemon.
const maxStderr = 64 << 20

var errTooTalkative = errors.New("it wrote more than 64 MiB to its stderr")

// process is a process in a gateway container. Its stdin and stdout are the two directions of a
// stream. Its deadline is that of its context. Its end is noticed only while somebody reads the
// connection, or after it is closed.
type process struct {
	id     string
	stream gwpb.LLBBridge_ExecProcessClient
	log    io.Writer // takes stderr

	sendMu     sync.Mutex // a stream takes one Send, or CloseSend, at a time
	inputEnded bool       // sendMu is held to read or write it

	// recvLock is a lock: whoever has put a value in it holds it. Only the holder may call
	// Recv, and read or write the next six fields.
	recvLock    chan struct{}
	output      []byte // of stdout, received and not read yet
	eof         bool   // stdout has ended
	stderrBytes int    // how many were received
	exited      bool   // the daemon has told how the process ended, which exitErr has
	exitErr     error
	done        bool // the daemon has sent everything that the process wrote

	closed    chan struct{} // closed by Close
	closeOnce sync.Once

	ended chan struct{} // closed when the process has ended and err is set
	err   error
}

// startProcess starts the process that init describes. The process runs until it ends by itself or
// ctx ends, when the daemon kills it. Its stderr goes to log.
func startProcess(
	ctx context.Context, daemon gwpb.LLBBridgeClient, init *gwpb.InitMessage, log io.Writer,
) (*process, error) {
	stream, err := daemon.ExecProcess(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{
		id: rand.Text(), stream: stream, log: log,
		recvLock: make(chan struct{}, 1), closed: make(chan struct{}), ended: make(chan struct{}),
	}
	init.Fds = []uint32{stdin, stdout, stderr}
	msg := &gwpb.ExecMessage{ProcessID: p.id, Input: &gwpb.ExecMessage_Init{Init: init}}
	if err := stream.Send(msg); err != nil {
		return nil, err
	}
	return p, nil
}

// receive takes one message about the process, or the end of the stream. The caller holds recvLock.
func (p *process) receive() {
	msg, err := p.stream.Recv()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		p.end(err)
		return
	}
	switch m := msg.GetInput().(type) {
	case *gwpb.ExecMessage_File:
		switch {
		case m.File.GetFd() == stdout && m.File.GetEOF():
			p.eof = true
		case m.File.GetFd() == stdout && !p.eof:
			p.output = m.File.GetData()
		case m.File.GetFd() == stderr:
			_, _ = p.log.Write(m.File.GetData())
			if p.stderrBytes += len(m.File.GetData()); p.stderrBytes > maxStderr {
				p.end(errTooTalkative)
			}
		}
	case *gwpb.ExecMessage_Exit:
		if m.Exit.GetCode() != 0 || m.Exit.GetError() != nil {
			cause := status.ErrorProto(m.Exit.GetError())
			p.exitErr = &exitError{code: m.Exit.GetCode(), cause: cause}
		}
		p.exited = true
		p.endInput() // only then does the daemon send the message Done
	case *gwpb.ExecMessage_Done:
		// It comes before the exit code if the process had gone when the daemon passed on some of its
		// stdin (frontend/gateway/gateway.go, ExecProcess: "close any stray pios").
		p.done = true
	}
	if p.exited && p.done {
		p.end(p.exitErr)
	}
}

// end records the end of the process. The last call of receive calls it, once.
func (p *process) end(err error) {
	p.err = err
	close(p.ended)
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	_ = p.stream.CloseSend()
}

// running reports whether no message has told the end of the process yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// endInput closes stdin, once.
func (p *process) endInput() {
	_ = p.sendStdin(&gwpb.FdMessage{Fd: stdin, EOF: true})
}

// sendStdin sends a part of stdin, or its end. After that, it sends nothing: the daemon would kill
// the process.
func (p *process) sendStdin(msg *gwpb.FdMessage) error {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	if p.inputEnded {
		return io.ErrClosedPipe
	}
	p.inputEnded = msg.GetEOF()
	return p.stream.Send(
		&gwpb.ExecMessage{ProcessID: p.id, Input: &gwpb.ExecMessage_File{File: msg}})
}

// exitError reports that a process failed.
type exitError struct {
	code  uint32
	cause error
}

func (e *exitError) Error() string {
	if e.code == gwpb.UnknownExitStatus && e.cause != nil {
		return safetext.Lines(e.cause.Error())
	}
	return fmt.Sprintf("exit code %d", e.code)
}

func (e *exitError) Unwrap() error { return e.cause }

// Read reads from the process's stdout.
func (p *process) Read(b []byte) (int, error) {
	p.recvLock <- struct{}{}
	defer func() { <-p.recvLock }()
	for len(p.output) == 0 {
		select {
		case <-p.closed:
			return 0, net.ErrClosed
		default:
		}
		if p.eof || !p.running() {
			return 0, io.EOF
		}
		p.receive()
	}
	n := copy(b, p.output)
	p.output = p.output[n:]
	return n, nil
}

// Write writes to the process's stdin.
func (p *process) Write(b []byte) (int, error) {
	select {
	case <-p.closed:
		return 0, net.ErrClosed
	case <-p.ended:
		return 0, io.ErrClosedPipe
	default:
	}
	if err := p.sendStdin(&gwpb.FdMessage{Fd: stdin, Data: b}); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close closes the connection. The process keeps running.
func (p *process) Close() error {
	p.closeOnce.Do(func() {
		close(p.closed)
		go p.drain()
	})
	return nil
}

// drain takes the remaining messages until the process has ended.
func (p *process) drain() {
	p.recvLock <- struct{}{}
	defer func() { <-p.recvLock }()
	for p.running() {
		p.receive()
	}
}
