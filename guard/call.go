package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
	"github.com/policy-frontend/policy-frontend/internal/rawcall"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// call is one call of a client.
type call struct {
	guard  *Guard
	method string // with its service: /service/method
	who    Identity
	client clients.Client // by which names a policy knows who calls
	stream grpc.ServerStream
	wire   gatewaycodec.Wire
	record *buildRecord // of the build that it is about; nil for none
	// account has what the call takes until it ends, and answers what its answers take until the
	// connection has taken them.
	account, answers *account
	// headers are those that the client sent. Nothing of them reaches the daemon by itself.
	headers metadata.MD
}

// serve serves each call of a client, whatever its method.
func (g *Guard) serve(_ any, sent grpc.ServerStream) (err error) {
	ctx := sent.Context()
	method, ok := grpc.MethodFromServerStream(sent)
	if !ok {
		return status.Error(codes.Internal, "policy-guard: a call without a method")
	}
	by, err := callerOf(ctx)
	if err != nil {
		return err
	}
	who := by.id
	s, ok := ctx.Value(streamKey{}).(*stream)
	if !ok {
		return status.Error(codes.Internal, "policy-guard: a call that isn't counted")
	}
	if err := s.serve(); err != nil {
		return err
	}
	defer func() { err = s.done(err) }()
	defer g.contain(who, method, &err)
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
		guard: g, method: method, who: who, client: by.client, stream: sent,
		wire: countedWire{wire, s}, headers: headers, account: g.memory.open(who),
		answers: by.conn.account,
	}
	defer c.account.close()
	if s.refused {
		return c.noteFull(errMemory)
	}
	return r.serve(c)
}

// refuse is the error of a call that isn't let through for a reason of its own.
func (c *call) refuse(why error) error {
	c.guard.logRefusal(c.who, c.method, why)
	c.record.refused(c.method, why)
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
func (c *call) next() (f *rawcall.Frame, size int, err error) {
	if size, err = gatewaycodec.NextSize(c.wire, rawcall.MaxMessage); err != nil {
		return nil, 0, err
	}
	if err := c.take(size); err != nil {
		return nil, 0, err
	}
	data, err := c.arriving(size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTruncated
	}
	if errors.Is(err, errSlowMessage) { // it is read further until the call ends
		return nil, 0, err
	}
	if err != nil {
		c.account.give(size)
		return nil, 0, err
	}
	return &rawcall.Frame{Data: data}, size, nil
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
		var a arrived
		defer func() { done <- a }()
		defer c.contain(&a.err)
		a.data, a.err = gatewaycodec.ReadMessage(c.wire, size) // it ends with the call
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
	err = c.read(f, m, c.take)
	c.account.give(size)
	return err
}

// read reads a message into m, and refuses one with unknown fields. accept gets an estimate of the
// bytes that m takes, and can refuse to read it.
func (c *call) read(f *rawcall.Frame, m proto.Message, accept func(weight int) error) error {
	in := &gatewaycodec.Incoming{Message: m, Accept: accept}
	err := readFrame(f, in)
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
func (c *call) sendFrame(f *rawcall.Frame) error {
	size := f.Data.Len() + heldByAnswer
	if err := c.answers.take(c.stream.Context(), size); err != nil {
		f.Data.Free()
		return c.noteFull(err)
	}
	f.Data = gatewaycodec.Watch(f.Data, func() { c.answers.give(size) })
	return c.stream.SendMsg(f)
}

// invoke makes a call with one request and one answer at the daemon, and answers the client.
func (c *call) invoke(ctx context.Context, req, resp proto.Message) error {
	if err := c.ask(ctx, c.method, req, resp); err != nil {
		return c.fromDaemon(err)
	}
	return c.send(resp)
}

// ask makes a call with one request and one answer at the daemon. The answer has memory until the
// client's call ends. If the daemon reads it from a file, it has memory before the daemon is asked:
// a client can't have the daemon read as much at once as it likes. Otherwise it has memory when the
// daemon begins to send it, which is when a build has ended.
func (c *call) ask(
	ctx context.Context, method string, req, resp any, opts ...grpc.CallOption,
) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	most := int(gatewaycodec.ExpectedAnswer(req, rawcall.MaxMessage))
	var arrived func(context.Context, int) error
	expect := func(most int) error {
		arrived, err = c.account.expect(ctx, most)
		return c.noteFull(err)
	}
	if most > 0 {
		if err := expect(most); err != nil {
			return err
		}
	}
	up, err := c.begin(ctx, method, req, opts...)
	switch req.(type) {
	case *controlapi.SolveRequest, *gwpb.SolveRequest:
		if err == nil {
			err = expect(rawcall.MaxMessage)
		}
	}
	if err == nil {
		err = up.RecvMsg(resp)
	}
	if arrived == nil {
		return err
	}
	size := 0
	if m, ok := resp.(proto.Message); ok && err == nil {
		size = proto.Size(m)
	}
	if full := arrived(ctx, size); err == nil {
		err = c.noteFull(full)
	}
	return err
}

// begin begins a call at the daemon, and returns when the daemon begins to answer it.
func (c *call) begin(
	ctx context.Context, method string, req any, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	opts = append(opts, grpc.ForceCodecV2(codec)) // answers have definitions too
	up, err := c.guard.daemon.NewStream(ctx, &grpc.StreamDesc{}, method, opts...)
	if err != nil {
		return nil, err
	}
	if err := up.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_, err = up.Header()
	return up, err
}

// pass passes on the call without reading it.
func (c *call) pass() error { return c.pipe(c.outgoing(c.stream.Context()), nil) }

// daemonHeaders are the headers of the daemon's answers that clients get.
var daemonHeaders = []string{"buildkit-current-timestamp"}

// pipe passes on the messages of both sides until one of them ends the call. If first isn't nil, it
// is the only message that the daemon gets.
func (c *call) pipe(ctx context.Context, first *rawcall.Frame) error {
	p := c.raw()
	p.First = first
	return p.Run(ctx)
}

// raw is the call as it is passed on, with the memory for its messages.
//
// What was sent on counts until the message after the next begins: the daemon's stream takes a
// second one only if the first is almost sent.
func (c *call) raw() rawcall.Pipe {
	var last, before int
	return rawcall.Pipe{
		Client: c.stream, Daemon: c.guard.daemon, Method: c.method, Headers: daemonHeaders,
		Error: c.fromDaemon, Contain: c.contain,
		Next: func() (*rawcall.Frame, error) {
			f, size, err := c.next()
			c.account.give(before)
			before, last = last, size
			return f, err
		},
		Send: c.sendFrame,
	}
}

// codec reads the messages that are judged, and what the daemon answers. It refuses messages that
// are nested too deeply.
var codec = gatewaycodec.New()

// readFrame reads a message into m and frees it. m is a message, or a [gatewaycodec.Incoming].
func readFrame(f *rawcall.Frame, m any) error {
	defer f.Data.Free()
	return codec.Unmarshal(f.Data, m)
}

// written returns the frame of a message.
func written(m proto.Message) (*rawcall.Frame, error) {
	data, err := codec.Marshal(m)
	return &rawcall.Frame{Data: data}, err
}

// fromDaemon turns the daemon's error into the client's.
func (c *call) fromDaemon(err error) error {
	return c.guard.scrub(c.who, status.Convert(err))
}
