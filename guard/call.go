package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// call is one call of a client.
type call struct {
	guard  *Guard
	method string // with its service: /service/method
	who    Identity
	stream grpc.ServerStream
	wire   gatewaycodec.Wire
	// account has what the call takes until it ends, and answers what its answers take until the
	// connection has taken them.
	account, answers *account
	// headers are those that the client sent. Nothing of them reaches the daemon by itself.
	headers metadata.MD
}

// serve serves each call of a client, whatever its method.
func (g *Guard) serve(_ any, stream grpc.ServerStream) error {
	ctx := stream.Context()
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "policy-guard: a call without a method")
	}
	from, err := callerOf(ctx)
	if err != nil {
		return err
	}
	who := from.id
	r, known := methods(method)
	switch {
	case !known:
		g.noteRefusal(who, method, "other", GuardsRule, "unknown method")
		return status.Errorf(codes.Unimplemented,
			"policy-guard doesn't know the method %s", safetext.Plain(method))
	case r.verdict == refuse:
		g.logRefusal(who, method, errors.New(r.why))
		return refused(method, r.why)
	}
	wire, err := gatewaycodec.WireOf(ctx)
	if err != nil {
		return err
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	c := &call{
		guard: g, method: method, who: who, stream: stream, wire: wire, headers: headers,
		account: g.memory.open(who), answers: from.account,
	}
	defer c.account.close()
	if _, ok := c.account.tryTake(streamWindow); !ok {
		return c.noteFull(errMemory)
	}
	return r.serve(c)
}

// refuse is the error of a call that isn't let through for a reason of its own.
func (c *call) refuse(why error) error {
	c.guard.logRefusal(c.who, c.method, why)
	return refused(c.method, told(why))
}

// tracing are the headers by which a client joins its traces with the daemon's. Their bound in
// bytes is that of their specification, W3C Trace Context.
var tracing = map[string]int{"traceparent": 55, "tracestate": 512}

// outgoing returns the headers of the call at the daemon: those about tracing, once each, and what
// the guard itself knows. pairs are names and values.
func (c *call) outgoing(ctx context.Context, pairs ...string) context.Context {
	md := metadata.Pairs(pairs...)
	for name, most := range tracing {
		if v := c.headers.Get(name); len(v) == 1 && len(v[0]) <= most {
			md.Set(name, v[0])
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// header returns the only value of a header of the client.
func (c *call) header(name string) (string, error) {
	v := c.headers.Get(name)
	if len(v) != 1 || v[0] == "" {
		return "", fmt.Errorf("the call has to have the header %s once", name)
	}
	return v[0], nil
}

// next reads the next message of the client, after it has taken the memory for it. The error is
// io.EOF after the last one.
func (c *call) next() (f *frame, size int, err error) {
	if size, err = gatewaycodec.NextSize(c.wire, maxMessage); err != nil {
		return nil, 0, err
	}
	if err := c.take(size); err != nil {
		return nil, 0, err
	}
	data, err := c.arriving(size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTruncated
	}
	if err != nil {
		c.account.give(size)
		return nil, 0, err
	}
	return &frame{data: data}, size, nil
}

var errTruncated = status.Error(codes.InvalidArgument,
	"policy-guard: the client has ended its requests within a message")

var errSlowMessage = status.Errorf(codes.DeadlineExceeded,
	"policy-guard: a message took longer than %s to arrive", messageTimeout)

// arriving reads a message of that size. It waits for what hasn't arrived.
func (c *call) arriving(size int) (mem.BufferSlice, error) {
	if size < minTimed {
		return gatewaycodec.ReadMessage(c.wire, size)
	}
	type arrived struct {
		data mem.BufferSlice
		err  error
	}
	done := make(chan arrived, 1)
	go func() {
		data, err := gatewaycodec.ReadMessage(c.wire, size) // it ends with the call
		done <- arrived{data, err}
	}()
	late := time.NewTimer(c.guard.messageTimeout)
	defer late.Stop()
	select {
	case a := <-done:
		return a.data, a.err
	case <-late.C:
		return nil, errSlowMessage
	}
}

// receive reads the only request of a call into m, and refuses one with unknown fields.
func (c *call) receive(m proto.Message) error {
	f, size, err := c.next()
	if errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, "policy-guard: the call has no request")
	}
	if err != nil {
		return err
	}
	in := &gatewaycodec.Incoming{Message: m, Accept: func(weight int) error { return c.take(weight) }}
	err = f.read(in)
	c.account.give(size)
	if in.Err != nil {
		return in.Err
	}
	if err != nil {
		return status.Error(codes.InvalidArgument, "policy-guard can't read the request: "+
			safetext.Plain(status.Convert(err).Message()))
	}
	if err := checkShape(m); err != nil {
		return c.refuse(err)
	}
	return nil
}

// send sends a message to the client.
func (c *call) send(m proto.Message) error {
	f, err := written(m)
	if err != nil {
		return err
	}
	return c.sendFrame(f)
}

// sendFrame sends a message to the client. It takes memory until the connection has taken it.
func (c *call) sendFrame(f *frame) error {
	size := f.data.Len()
	if err := c.answers.take(c.stream.Context(), size); err != nil {
		f.data.Free()
		return c.noteFull(err)
	}
	f.data = gatewaycodec.Watch(f.data, func() { c.answers.give(size) })
	return c.stream.SendMsg(f)
}

// invoke makes a call with one request and one answer at the daemon, and answers the client.
func (c *call) invoke(ctx context.Context, req, resp proto.Message) error {
	if err := c.guard.daemon.Invoke(ctx, c.method, req, resp); err != nil {
		return c.fromDaemon(err)
	}
	return c.send(resp)
}

// pass passes on the call without reading it.
func (c *call) pass() error { return c.pipe(c.outgoing(c.stream.Context()), nil) }

// bidirectional is the most general form of a call. All others can be passed on in it.
var bidirectional = grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// daemonHeaders are the headers of the daemon's answers that clients get.
var daemonHeaders = []string{"buildkit-current-timestamp"}

// pipe passes on the messages of both sides until one of them ends the call. If first isn't nil, it
// is the only message that the daemon gets.
//
// Each side is read only as fast as the other one reads. The end of the client's call ends the
// daemon's.
func (c *call) pipe(ctx context.Context, first *frame) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	up, err := c.guard.daemon.NewStream(ctx, &bidirectional, c.method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return c.fromDaemon(err)
	}
	if first != nil {
		if err := up.SendMsg(first); err != nil && !errors.Is(err, io.EOF) {
			return c.fromDaemon(err)
		}
		_ = up.CloseSend() // its error is that of the next receive
	} else {
		go func() {
			if !c.toDaemon(up) {
				cancel()
			}
		}()
	}
	if header, err := up.Header(); err == nil {
		if err := c.sendHeader(header); err != nil {
			return err
		}
	}
	for {
		var f frame
		err := up.RecvMsg(&f)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.fromDaemon(err)
		}
		if err := c.sendFrame(&f); err != nil {
			return err
		}
	}
}

// toDaemon passes on the client's messages. It returns false if the client broke off the call.
//
// What was sent on counts until the message after the next begins: the daemon's stream takes a
// second one only if the first is almost sent.
func (c *call) toDaemon(up grpc.ClientStream) bool {
	var last, before int
	for {
		f, size, err := c.next()
		c.account.give(before)
		before, last = last, size
		if errors.Is(err, io.EOF) {
			_ = up.CloseSend() // its error is that of the next receive
			return true
		}
		if err != nil {
			return false
		}
		if up.SendMsg(f) != nil {
			return true // the daemon has ended the call, and the other direction tells why
		}
	}
}

// sendHeader sends the daemon's headers that the client may see.
func (c *call) sendHeader(from metadata.MD) error {
	md := metadata.MD{}
	for _, name := range daemonHeaders {
		if v := from.Get(name); len(v) == 1 {
			md.Set(name, v[0])
		}
	}
	if len(md) == 0 {
		return nil
	}
	return c.stream.SendHeader(md)
}

// fromDaemon turns the daemon's error into the client's.
func (c *call) fromDaemon(err error) error {
	return c.guard.scrub(c.who, status.Convert(err))
}
