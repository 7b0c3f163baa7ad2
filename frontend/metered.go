package frontend

import (
	"context"
	"errors"
	"slices"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
)

// minMetered is the size in bytes from which an answer or an error counts. There are no more than
// [maxStreams] smaller ones at a time.
const minMetered = 64 << 10

// register has the server answer the calls of a service with an implementation, and counts what
// they take. gRPC reads the request of a call before it asks anybody, unless the call is one that
// streams messages. So here all calls are such: the messages on the connection are the same.
func (s *broker) register(server *grpc.Server, desc grpc.ServiceDesc, with any) {
	desc.Streams = slices.Clone(desc.Streams)
	for i, d := range desc.Streams {
		desc.Streams[i].Handler = s.stream(d, with)
	}
	for _, d := range desc.Methods {
		one := grpc.StreamDesc{StreamName: d.MethodName, Handler: s.unary(d, with)}
		desc.Streams = append(desc.Streams, one)
	}
	desc.Methods = nil
	server.RegisterService(&desc, with)
}

// unary serves calls of a method with one request and one answer.
func (s *broker) unary(d grpc.MethodDesc, with any) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		c := call{broker: s, stream: stream}
		defer c.end()
		resp, err := d.Handler(with, stream.Context(), c.read, c.intercept)
		if err != nil {
			return c.fail(err)
		}
		return c.answer(resp)
	}
}

// call is one call of a method with one request and one answer.
type call struct {
	broker   *broker
	stream   grpc.ServerStream
	request  int   // bytes that the request takes
	expected int64 // bytes that are reserved for the daemon's answer
	kept     bool  // the broker keeps the request
}

// read reads the request.
func (c *call) read(into any) error {
	ctx := c.stream.Context()
	s := c.broker
	if err := reserve(ctx, s.monitor.budget.reading, maxMessage); err != nil {
		return s.errorFor(ctx, err)
	}
	defer s.monitor.budget.reading.Release(maxMessage)
	in := &gatewaycodec.Incoming{Message: into, Accept: func(bytes int) error {
		if c.request > 0 {
			return errors.New("a second request in one call")
		}
		if err := s.take(ctx, bytes); err != nil {
			return err
		}
		c.request = bytes
		return nil
	}}
	err := c.stream.RecvMsg(in)
	if in.Err != nil {
		return s.errorFor(ctx, in.Err)
	}
	return err
}

// intercept checks a call before it is handled, and reserves memory for the daemon's answer.
func (c *call) intercept(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	_, c.kept = req.(*gwpb.ReturnRequest)
	budget := c.broker.monitor.budget
	return c.broker.rejectUnknown(ctx, req, info, func(ctx context.Context, req any) (any, error) {
		if n := gatewaycodec.ExpectedAnswer(req, maxMessage); n > 0 {
			if err := reserve(ctx, budget.answering, n); err != nil {
				return nil, c.broker.errorFor(ctx, err)
			}
			c.expected = n
		}
		return handle(ctx, req)
	})
}

func reserve(ctx context.Context, from *semaphore.Weighted, bytes int64) error {
	if from.Acquire(ctx, bytes) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// answer sends the answer. Its bytes count until the connection has taken them.
func (c *call) answer(resp any) error {
	size := sizeOf(resp)
	if size < minMetered {
		return c.stream.SendMsg(resp)
	}
	c.giveRequest()
	s := c.broker
	if err := s.take(c.stream.Context(), size); err != nil {
		return s.errorFor(c.stream.Context(), err)
	}
	c.releaseExpected()
	return c.stream.SendMsg(&gatewaycodec.Outgoing{
		Message: resp, Written: func() { s.account.give(size) },
	})
}

// fail returns an error. A large one counts until the broker ends: nobody tells when the connection
// has taken it.
func (c *call) fail(err error) error {
	if size := sizeOf(status.Convert(err).Proto()); size >= minMetered {
		if full := c.broker.take(c.stream.Context(), size); full != nil {
			return c.broker.errorFor(c.stream.Context(), full)
		}
	}
	return err
}

func sizeOf(v any) int {
	m, ok := v.(proto.Message)
	if !ok {
		return 0
	}
	return proto.Size(m)
}

func (c *call) end() {
	c.giveRequest()
	c.releaseExpected()
}

func (c *call) giveRequest() {
	if !c.kept {
		c.broker.account.give(c.request)
		c.request = 0
	}
}

func (c *call) releaseExpected() {
	c.broker.monitor.budget.answering.Release(c.expected)
	c.expected = 0
}

// take takes bytes of the build's budget. The error is a *refusal if there are none left.
func (s *broker) take(ctx context.Context, bytes int) error {
	err := s.account.take(ctx, bytes)
	if errors.Is(err, errBudget) {
		return s.monitor.outOfMemory()
	}
	return err
}
