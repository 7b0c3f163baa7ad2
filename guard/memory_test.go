package guard

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	m := newMemory(256 * mib)
	try := func(a *account, n int) bool {
		_, ok := a.tryTake(n)
		return ok
	}
	alice, again, bob := m.open("alice"), m.open("alice"), m.open("bob")
	require.True(t, try(alice, 100*mib))
	require.False(t, try(again, 29*mib), "one identity has half of it, whatever it is for")
	require.True(t, try(again, 28*mib))
	require.True(t, try(bob, 64*mib))
	require.False(t, try(bob, 1), "three quarters are in use")
	carol := m.open("carol")
	require.False(t, try(carol, minLittle+1))
	require.True(t, try(carol, minLittle), "who has little still gets it")
	require.False(t, try(carol, 1))

	again.give(8 * mib)
	require.True(t, try(bob, 4*mib))
	alice.give(200 * mib) // it has no more than 100
	alice.close()
	again.close()
	again.close()
	alice.give(1)
	require.Equal(t, int64((68+4)*mib), m.used)
	require.True(t, try(alice, mib), "what it is for has ended")
	require.Equal(t, int64((68+4)*mib), m.used)
	bob.close()
	carol.close()
	require.Zero(t, m.used)
	require.Empty(t, m.of)
}

func TestACallWaitsForMemoryForAWhile(t *testing.T) {
	t.Parallel()
	m := newMemory(MinMemory)
	alice := m.open("alice")
	require.NoError(t, alice.take(t.Context(), MinMemory/2))
	waits := m.open("alice")
	go alice.give(10)
	require.NoError(t, waits.take(t.Context(), 10))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	requireCode(t, codes.Canceled, waits.take(ctx, 1))
	m.patience = time.Millisecond
	require.ErrorIs(t, waits.take(t.Context(), 1), errMemory)
	m.patience = time.Hour
	require.ErrorIs(t, waits.take(t.Context(), MinMemory), errMemory, "it will never be there")
}

// blockedWire is a call whose messages have a length, and never arrive.
type blockedWire struct {
	ctx  context.Context
	size uint32
}

func (w blockedWire) ReadMessageHeader(header []byte) error {
	binary.BigEndian.PutUint32(header[1:], w.size)
	return nil
}

func (w blockedWire) Read(int) (mem.BufferSlice, error) {
	<-w.ctx.Done()
	return nil, w.ctx.Err()
}

func TestAMessageHasToArriveInTime(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	g.messageTimeout = time.Millisecond
	s := newWireCall(t.Context(), g, control+"Status", metadata.MD{}, nil)
	c := &call{
		guard: g, method: control + "Status", who: "alice", stream: callStream{s},
		wire: blockedWire{ctx: t.Context(), size: 1 << 20}, account: g.memory.open("alice"),
	}
	require.ErrorIs(t, c.receive(&controlapi.StatusRequest{}), errSlowMessage)
	s.stream.conn.endAll()
	require.NotZero(t, g.Memory(), "the message is read until the call ends")
	c.account.close()
	require.Zero(t, g.Memory(), "nothing is kept for it")
}

func TestBrokenMessages(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	field := func(b []byte) []byte { return protowire.AppendBytes([]byte{0x0a}, b) }
	for name, tc := range map[string]struct {
		sent []byte // with its header
		code codes.Code
		why  string
	}{
		"no message": {nil, codes.InvalidArgument, "has no request"},
		"a message without its end": {
			[]byte{0, 0, 0, 0, 10, 0x0a}, codes.InvalidArgument, "within a message",
		},
		"a message that is too large": {
			[]byte{0, 1, 0, 0, 1}, codes.ResourceExhausted, "larger than max",
		},
		"a compressed message": {[]byte{1, 0, 0, 0, 0}, codes.Unimplemented, "compressed"},
		"a field without its end": {
			[]byte{0, 0, 0, 0, 2, 0x0a, 9}, codes.InvalidArgument, "can't read the request",
		},
		"an unknown field": {
			[]byte{0, 0, 0, 0, 3, 0xf8, 0x01, 0}, codes.PermissionDenied, "doesn't know",
		},
		"a message whose parts would take a hundred times its size": {
			whole(bytes.Repeat([]byte{0x6a, 0}, rawcall.MaxMessage/2-8)), codes.ResourceExhausted,
			"too much memory",
		},
		"a text that isn't UTF-8": {
			whole(field([]byte{0xff})), codes.InvalidArgument, "can't read the request",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newWireCall(t.Context(), g, control+"Solve", metadata.MD{}, nil)
			s.rest = tc.sent
			err := s.served(g)
			requireCode(t, tc.code, err)
			require.ErrorContains(t, err, tc.why)
			require.Zero(t, g.Memory())
		})
	}
}

// An answer takes memory until the client has read it. Others are served all the same.
func TestAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	g.memory = newMemory(MinMemory)
	g.memory.patience = 100 * time.Millisecond
	d.file = make([]byte, 5<<20)
	conn := as(t, g, "alice")
	b := &build{who: "alice", client: "b", policy: g.policy.current()}
	require.NoError(t, g.begin(t.Context(), b))
	defer b.end()
	require.NoError(t, b.keep(&gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "own"}}}))
	ctx, cancel := context.WithCancel(of(t, buildIDHeader, "b"))
	for range 20 {
		// A stream whose messages nobody takes: gRPC's window is full before the answer is whole.
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, bridge+"ReadFile")
		require.NoError(t, err)
		require.NoError(t, s.SendMsg(&gwpb.ReadFileRequest{
			Ref: "own", Range: &gwpb.FileRange{Length: 5 << 20},
		}))
		require.NoError(t, s.CloseSend())
		_, _ = s.Header()
	}
	require.Greater(t, g.Memory(), int64(10<<20))
	require.LessOrEqual(t, g.Memory(), int64(MinMemory/2))
	_, err := controlapi.NewControlClient(as(t, g, "bob")).Info(of(t), &controlapi.InfoRequest{})
	require.NoError(t, err)
	cancel()
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return g.Memory() < 1<<20 }, soon, time.Millisecond)
}

// The daemon may answer with as much as a message can have. That is taken before it arrives.
func TestAResultHasItsMemoryBeforeItArrives(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	g.memory = newMemory(MinMemory)
	g.memory.patience = 100 * time.Millisecond
	c, ctx := begunBefore(t, d, g)
	other := g.memory.open("alice")
	require.NoError(t, other.take(ctx, MinMemory/2-rawcall.MaxMessage))
	arrived, err := other.expect(ctx, rawcall.MaxMessage)
	require.NoError(t, err, "one can always arrive")
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	requireCode(t, codes.ResourceExhausted, err)

	_, err = other.expect(ctx, rawcall.MaxMessage)
	require.ErrorIs(t, err, errMemory)

	g.memory.patience = time.Hour
	arriving, stop := context.WithCancel(ctx)
	waits := make(chan error, 1)
	go func() { waits <- arrived(arriving, rawcall.MaxMessage+1) }()
	soonOver, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = other.expect(soonOver, rawcall.MaxMessage)
	requireCode(t, codes.DeadlineExceeded, err) // the one that has arrived has no memory yet
	stop()
	requireCode(t, codes.Canceled, <-waits)

	arrived, err = other.expect(ctx, rawcall.MaxMessage)
	require.NoError(t, err)
	go func() { _ = arrived(ctx, 10) }()
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err, "who has little needs no memory for the largest answer")
	other.close()
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Empty(t, g.memory.alone)
	require.Eventually(t, func() bool { return g.Memory() < 1<<20 }, soon, time.Millisecond,
		"what the results didn't need is given back")

	full, err := other.memory.open("alice").expect(ctx, rawcall.MaxMessage)
	require.NoError(t, err)
	require.NoError(t, full(ctx, 1<<20))
	require.Greater(t, g.Memory(), int64(1<<20), "what it needs isn't")
}

// A step's error may be as large as a message, and is copied to look for names in it.
func TestTheErrorsOfStepsHaveTheirMemory(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, failed := range map[string]string{
		"an error without a name":   strings.Repeat("x", size),
		"a small error with a name": "no active session for bobs",
	} {
		d, g := newDaemon(t)
		g.memory = newMemory(MinMemory)
		g.memory.patience = 100 * time.Millisecond
		d.progress = &controlapi.StatusResponse{
			Vertexes: []*controlapi.Vertex{{Error: failed}},
			Logs:     []*controlapi.VertexLog{{Msg: make([]byte, size)}},
		}
		status := func() error {
			ctx, cancel := context.WithCancel(of(t))
			defer cancel()
			stream, err := controlapi.NewControlClient(as(t, g, "alice")).Status(ctx,
				&controlapi.StatusRequest{Ref: "b"})
			require.NoError(t, err)
			_, err = stream.Recv()
			return err
		}
		require.NoError(t, status(), name)
		require.Eventually(t, func() bool { return g.Memory() < size }, soon, time.Millisecond,
			"it is given back")
		other := g.memory.open("alice")
		require.NoError(t, other.take(t.Context(), MinMemory/2-2*size))
		requireCode(t, codes.ResourceExhausted, status())
	}
}

// What the daemon reads for a client is in its memory too.
func TestTheDaemonReadsNoFileForWhichThereIsNoMemory(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	g.memory = newMemory(MinMemory)
	g.memory.patience = 100 * time.Millisecond
	b := &build{who: "alice", client: "b", policy: g.policy.current()}
	require.NoError(t, g.begin(t.Context(), b))
	defer b.end()
	require.NoError(t, b.keep(&gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "own"}}}))
	other := g.memory.open("alice")
	require.NoError(t, other.take(t.Context(), MinMemory/2-2<<20))
	arrived, err := other.expect(t.Context(), rawcall.MaxMessage)
	require.NoError(t, err, "one can always arrive")
	c := gwpb.NewLLBBridgeClient(as(t, g, "alice"))
	read := func() error {
		_, err := c.ReadFile(of(t, buildIDHeader, "b"), &gwpb.ReadFileRequest{Ref: "own"})
		return err
	}
	requireCode(t, codes.ResourceExhausted, read())
	require.Empty(t, d.all())
	require.NoError(t, arrived(t.Context(), 10))
	require.NoError(t, read())
	require.Len(t, d.all(), 1)
}

func whole(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// What refused calls take beyond the memory isn't that of clients who need little.
func TestRefusedCallsLeaveTheMemoryForThoseWhoNeedLittle(t *testing.T) {
	t.Parallel()
	m := newMemory(1 << 30)
	take := func(who Identity, bytes int64) {
		_, ok := m.open(who).tryTake(int(bytes))
		require.True(t, ok)
	}
	take("alice", m.each)
	take("bob", m.common-m.each)
	refused := m.open("bob")
	for refused.overdraw(64 << 10) {
	}
	_, ok := m.open("carol").tryTake(int(m.little) - 16<<10)
	require.True(t, ok)
	require.True(t, m.open("carol").overdraw(16<<10))
}
