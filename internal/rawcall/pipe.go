package rawcall

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Pipe is a call that is passed on.
type Pipe struct {
	// Client is the call of the client, with messages of [Codec].
	Client grpc.ServerStream
	Daemon grpc.ClientConnInterface
	Method string // with its service: /service/method
	// First is the only message that the daemon gets. Nil passes on the client's messages.
	First *Frame
	// Next reads the client's next message. The error is io.EOF after the last one. Nil is
	// Client.RecvMsg.
	Next func() (*Frame, error)
	// Send sends a message to the client. Nil is Client.SendMsg.
	Send func(*Frame) error
	// Headers are the names of those headers of the daemon's answer that the client gets, if the
	// daemon sends them once.
	Headers []string
	// Error turns an error of the daemon into the client's.
	Error func(error) error
	// Contain is deferred where Next is called: it may recover from a panic, which ends the call
	// then. Nil recovers from none.
	Contain func(err *error)
}

// bidirectional is the most general form of a call. All others can be passed on in it.
var bidirectional = grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// Run passes on the messages of both sides until one of them ends the call. The daemon gets the
// outgoing headers of the context. The result is for the client.
//
// Each side is read only as fast as the other one reads. The end of the client's call ends the
// daemon's.
func (p Pipe) Run(ctx context.Context) error {
	if p.Next == nil {
		p.Next = p.next
	}
	if p.Send == nil {
		p.Send = func(f *Frame) error { return p.Client.SendMsg(f) }
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, err := p.Daemon.NewStream(ctx, &bidirectional, p.Method, grpc.ForceCodecV2(Codec{}))
	if err != nil {
		return p.Error(err)
	}
	if p.First != nil {
		if err := up.SendMsg(p.First); err != nil && !errors.Is(err, io.EOF) {
			return p.Error(err)
		}
		_ = up.CloseSend() // its error is that of the next receive
	} else {
		go func() {
			if err := p.toDaemon(up); err != nil {
				cancel()
			}
		}()
	}
	if header, err := up.Header(); err == nil {
		if err := p.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var f Frame
		err := up.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return p.Error(err)
		}
		if err := p.Send(&f); err != nil {
			return err
		}
	}
}

// toDaemon passes on the client's messages. It fails if the client broke off the call.
func (p Pipe) toDaemon(up grpc.ClientStream) (err error) {
	if p.Contain != nil {
		defer p.Contain(&err)
	}
	for {
		f, err := p.Next()
		if errors.Is(err, io.EOF) {
			_ = up.CloseSend() // its error is that of the next receive
			return nil
		}
		if err != nil {
			return err
		}
		if up.SendMsg(f) != nil {
			return nil // the daemon has ended the call, and the other direction tells why
		}
	}
}

func (p Pipe) next() (*Frame, error) {
	f := &Frame{}
	return f, p.Client.RecvMsg(f)
}

// SendHeader sends those headers of the daemon's answer to the client that it may get.
func (p Pipe) SendHeader(from metadata.MD) error {
	md := metadata.MD{}
	for _, name := range p.Headers {
		if v := from.Get(name); len(v) == 1 {
			md.Set(name, v[0])
		}
	}
	if len(md) == 0 {
		return nil
	}
	return p.Client.SendHeader(md)
}
