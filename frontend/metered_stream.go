package frontend

import (
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
)

// heldByStream is how many bytes a call that streams messages can hold beside the messages that
// count by themselves: answers of the daemon that wait, the part of a request that nobody has asked
// for yet, and answers that gRPC takes before the connection does.
const heldByStream = streamWindow + 2*unreadWindow

// stream serves calls of a method that streams messages. A call can wait for any time for its next
// message, so it reserves memory for one only when the message begins.
func (s *broker) stream(d grpc.StreamDesc, with any) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		ctx := stream.Context()
		wire, err := gatewaycodec.WireOf(ctx)
		if err != nil {
			return err
		}
		if err := s.take(ctx, heldByStream); err != nil {
			return s.errorFor(ctx, err)
		}
		metered := &meteredStream{ServerStream: stream, wire: wire, broker: s}
		defer func() { s.account.give(heldByStream + metered.last + metered.before) }()
		return d.Handler(with, metered)
	}
}

// meteredStream takes its messages from the budget before it reads them. What was sent on to the
// daemon counts until the message after the next begins: a stream takes a second one only if the
// first is almost sent.
type meteredStream struct {
	grpc.ServerStream
	wire         gatewaycodec.Wire
	broker       *broker
	last, before int // bytes
}

// RecvMsg implements grpc.ServerStream.
func (m *meteredStream) RecvMsg(into any) error {
	size, err := gatewaycodec.NextSize(m.wire, maxMessage)
	if err != nil {
		return err
	}
	m.broker.account.give(m.before)
	m.before, m.last = m.last, 0
	if err := m.take(size); err != nil {
		return m.broker.errorFor(m.Context(), err)
	}
	data, err := gatewaycodec.ReadMessage(m.wire, size)
	if err != nil {
		return err
	}
	defer data.Free()
	in := &gatewaycodec.Incoming{Message: into, Accept: func(bytes int) error {
		return m.take(max(bytes-size, 0))
	}}
	err = gatewaycodec.New().Unmarshal(data, in)
	if in.Err != nil {
		return m.broker.errorFor(m.Context(), in.Err)
	}
	return err
}

func (m *meteredStream) take(bytes int) error {
	err := m.broker.take(m.Context(), bytes)
	if err == nil {
		m.last += bytes
	}
	return err
}
