package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

func TestAMethodThatIsRefusedDoesNotReachTheDaemon(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := as(t, g, "alice")
	for method, r := range table {
		if r.verdict == refuse {
			err := c.Invoke(of(t, buildIDHeader, "x"), method, &emptypb.Empty{}, &emptypb.Empty{})
			requireCode(t, codes.PermissionDenied, err)
			require.ErrorContains(t, err, "policy-guard refuses "+method+": "+r.why)
		}
	}
	for _, method := range []string{
		"/moby.buildkit.v1.Control/Solve2", "/moby.buildkit.v1.Control/solve",
		"/moby.buildkit.v1.Control//Info", "/x/y",
	} {
		err := c.Invoke(of(t), method, &emptypb.Empty{}, &emptypb.Empty{})
		requireCode(t, codes.Unimplemented, err)
	}
	require.Empty(t, d.all())
}

func TestOnlyKnownHeadersReachTheDaemonOnce(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c, _ := begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b1"})
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	_, err := c.Ping(of(t, buildIDHeader, "b1", "traceparent", parent, "tracestate", "a=1",
		"tracestate", "b=2", "x-docker-expose-session-uuid", "s", "containerd-namespace", "n",
		"authorization", "x"), &gwpb.PingRequest{})
	require.NoError(t, err)
	require.Len(t, d.pings(), 1)
	got := d.pings()[0].headers
	require.Len(t, got.Get(buildIDHeader), 1)
	require.Equal(t, []string{parent}, got.Get("traceparent"))
	for _, name := range []string{
		"tracestate", "x-docker-expose-session-uuid", "containerd-namespace", "authorization",
	} {
		require.Empty(t, got.Get(name), name)
	}
	for _, headers := range [][]string{
		nil,
		{buildIDHeader, ""},
		{buildIDHeader, "a", buildIDHeader, "b"},
		{buildIDHeader, "a:b"},
		{buildIDHeader, "a/../b"},
		{buildIDHeader, strings.Repeat("a", 129)},
	} {
		_, err := c.Ping(of(t, headers...), &gwpb.PingRequest{})
		requireCode(t, codes.PermissionDenied, err)
	}
	require.Len(t, d.pings(), 1)
}

func TestTwoClientsCanNotNameTheSameBuild(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	seen := map[string]bool{}
	var alices string
	for _, who := range []Identity{"alice", "bob"} {
		conn := as(t, g, who)
		go func() { // until the test ends
			_, _ = controlapi.NewControlClient(conn).Solve(t.Context(),
				&controlapi.SolveRequest{Ref: "b"})
		}()
		_, err := gwpb.NewLLBBridgeClient(conn).Ping(of(t, buildIDHeader, "b"), &gwpb.PingRequest{})
		require.NoError(t, err)
		pings := d.pings()
		ref := pings[len(pings)-1].headers.Get(buildIDHeader)[0]
		require.False(t, seen[ref])
		seen[ref] = true
		if who == "alice" {
			alices = ref
		}
	}
	// The name at the daemon helps nobody who learns it.
	bob := gwpb.NewLLBBridgeClient(as(t, g, "bob"))
	_, err := bob.Ping(of(t, buildIDHeader, alices), &gwpb.PingRequest{})
	require.ErrorContains(t, err, "there is no such build")

	_, err = controlapi.NewControlClient(as(t, g, "alice")).UpdateBuildHistory(of(t),
		&controlapi.UpdateBuildHistoryRequest{Ref: "b", Delete: true})
	require.NoError(t, err)
	require.Equal(t, alices, d.last(t).request.(*controlapi.UpdateBuildHistoryRequest).Ref)
}

func TestAClientSeesOnlyItsOwnHistory(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	for _, of := range []struct {
		who  Identity
		name string
	}{{"alice", "a1"}, {"bob", "b1"}, {"alice", "a2"}} {
		ref, err := g.names.ref(of.who, of.name)
		require.NoError(t, err)
		d.history = append(d.history, &controlapi.BuildHistoryEvent{
			Record: &controlapi.BuildHistoryRecord{Ref: ref},
		})
	}
	d.history = append(d.history,
		&controlapi.BuildHistoryEvent{}, // without a record
		&controlapi.BuildHistoryEvent{Record: &controlapi.BuildHistoryRecord{Ref: "direct"}})
	stream, err := controlapi.NewControlClient(as(t, g, "alice")).ListenBuildHistory(of(t),
		&controlapi.BuildHistoryRequest{Ref: "a1"})
	require.NoError(t, err)
	var got []string
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		got = append(got, event.Record.Ref)
	}
	require.Equal(t, []string{"a1", "a2"}, got)
	asked := d.last(t).request.(*controlapi.BuildHistoryRequest).Ref
	client, own := g.names.clientRef("alice", asked)
	require.Equal(t, "a1", client)
	require.True(t, own)
	_, others := g.names.clientRef("bob", asked)
	require.False(t, others)
}

func TestTheNewestRecordsAreThoseOfTheClient(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	for _, of := range []struct {
		who  Identity
		name string
	}{{"alice", "first"}, {"alice", "last"}, {"bob", "b"}, {"alice", "second"}} {
		ref, err := g.names.ref(of.who, of.name)
		require.NoError(t, err)
		seconds := map[string]int64{"first": 1, "second": 2, "last": 3}[of.name]
		d.history = append(d.history, &controlapi.BuildHistoryEvent{
			Record: &controlapi.BuildHistoryRecord{
				Ref: ref, CreatedAt: &timestamppb.Timestamp{Seconds: seconds},
			},
		})
	}
	stream, err := controlapi.NewControlClient(as(t, g, "alice")).ListenBuildHistory(of(t),
		&controlapi.BuildHistoryRequest{Limit: 2, EarlyExit: true, Filter: []string{"x"}})
	require.NoError(t, err)
	for _, want := range []string{"last", "second"} {
		event, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, want, event.Record.Ref)
	}
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	asked := d.last(t).request.(*controlapi.BuildHistoryRequest)
	require.Zero(t, asked.Limit)
	require.Equal(t, []string{"x"}, asked.Filter)
}

func TestAClientReadsOnlyContentOfItsRecords(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	ref, err := g.names.ref("alice", "a")
	require.NoError(t, err)
	descriptor := func(digest string) *controlapi.Descriptor {
		return &controlapi.Descriptor{Digest: digest}
	}
	d.history = []*controlapi.BuildHistoryEvent{{Record: &controlapi.BuildHistoryRecord{
		Ref: ref, Logs: descriptor("logs"),
		Results: map[string]*controlapi.BuildResultInfo{"x": {
			Attestations: []*controlapi.Descriptor{descriptor("attestation")},
			Results:      map[int64]*controlapi.Descriptor{0: descriptor("result")},
		}},
	}}}
	alice, bob := as(t, g, "alice"), as(t, g, "bob")
	get := func(c *grpc.ClientConn, digest string) error {
		_, err := contentapi.NewContentClient(c).Info(of(t), &contentapi.InfoRequest{Digest: digest})
		return err
	}
	requireCode(t, codes.PermissionDenied, get(alice, "logs"))
	for _, c := range []*grpc.ClientConn{alice, bob} {
		s, err := controlapi.NewControlClient(c).ListenBuildHistory(of(t),
			&controlapi.BuildHistoryRequest{EarlyExit: true})
		require.NoError(t, err)
		for err == nil {
			_, err = s.Recv()
		}
	}
	for _, digest := range []string{"logs", "attestation", "result"} {
		require.NoError(t, get(alice, digest))
		requireCode(t, codes.PermissionDenied, get(bob, digest))
	}
	requireCode(t, codes.PermissionDenied, get(alice, "other"))
	requireCode(t, codes.PermissionDenied, get(alice, ""))
	r, err := contentapi.NewContentClient(bob).Read(of(t),
		&contentapi.ReadContentRequest{Digest: "logs"})
	require.NoError(t, err)
	_, err = r.Recv()
	requireCode(t, codes.PermissionDenied, err)
}

func TestAnIdentityRemembersABoundedNumberOfDigests(t *testing.T) {
	t.Parallel()
	r := newRemembered(3, time.Hour)
	now := time.Unix(0, 0)
	r.now = func() time.Time { return now }
	has := func(who Identity, digest string) bool {
		known, _ := r.has(who, digest)
		return known
	}
	for _, digest := range []string{"first", "0", "1", "0", "2"} {
		r.add("alice", []string{digest}, madeBy{})
	}
	require.False(t, has("alice", "first"))
	require.False(t, has("bob", "0"))
	require.Len(t, r.of["alice"].known, 3)
	r.add("alice", []string{"3"}, madeBy{})
	require.True(t, has("alice", "0"), "it was added again")
	require.False(t, has("alice", "1"))

	now = now.Add(time.Hour)
	require.True(t, has("alice", "0"))
	r.add("alice", []string{"2"}, madeBy{})
	now = now.Add(time.Second)
	require.False(t, has("alice", "0"), "it is too old")
	require.True(t, has("alice", "2"), "it was seen again")
	r.keep = 0
	require.True(t, has("alice", "0"))
}

func TestAWarningIsRememberedAsLongAsItsResult(t *testing.T) {
	t.Parallel()
	r := newRemembered(4, time.Hour)
	now := time.Unix(0, 0)
	r.now = func() time.Time { return now }
	warned := func(digest string) bool {
		known, by := r.has("alice", digest)
		require.True(t, known)
		return by.against != ""
	}
	r.add("alice", []string{"a", "b"}, madeBy{against: "warned"})
	r.add("alice", []string{"c", "d"}, madeBy{})
	r.add("alice", []string{"a"}, madeBy{}) // by a build about which the policy doesn't warn
	r.add("alice", []string{"e"}, madeBy{})
	require.True(t, warned("a"))
	require.False(t, warned("c"))
	known, _ := r.has("alice", "b")
	require.False(t, known)
	r.add("alice", []string{"c"}, madeBy{against: "warned"})
	require.True(t, warned("c"))
	now = now.Add(time.Hour + time.Second)
	r.add("alice", []string{"a"}, madeBy{})
	require.False(t, warned("a"), "nobody could have built on the one that the policy warned about")
}

func TestAJudgedMessageWithUnknownFieldsIsRefused(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := as(t, g, "alice")
	strange := &controlapi.UpdateBuildHistoryRequest{Ref: "b"}
	strange.ProtoReflect().SetUnknown(protowire.AppendVarint(
		protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	const method = control + "UpdateBuildHistory"
	err := c.Invoke(of(t), method, strange, &emptypb.Empty{})
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "fields that this version doesn't know")

	cut := grpc.ForceCodecV2(bytesCodec("\x0a\x09a")) // a text of 9 bytes, after one byte
	err = c.Invoke(of(t), method, &rawcall.Frame{}, &emptypb.Empty{}, cut)
	requireCode(t, codes.InvalidArgument, err)

	stream, err := controlapi.NewControlClient(c).ListenBuildHistory(of(t),
		&controlapi.BuildHistoryRequest{Filter: []string{strings.Repeat("x", maxFilter+1)}})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorContains(t, err, "more than 4096 bytes")

	err = c.Invoke(of(t), method, &controlapi.UpdateBuildHistoryRequest{
		Ref: strings.Repeat("a", 17<<20),
	}, &emptypb.Empty{})
	requireCode(t, codes.ResourceExhausted, err)
	require.Empty(t, d.all())
}

func TestOneConnectionServesASession(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	alice, bob := as(t, g, "alice"), as(t, g, "bob")
	open := func(c *grpc.ClientConn, ctx context.Context) (controlapi.Control_SessionClient, error) {
		s, err := controlapi.NewControlClient(c).Session(ctx)
		require.NoError(t, err)
		err = s.Send(&controlapi.BytesMessage{Data: []byte("hello")})
		if err == nil || errors.Is(err, io.EOF) { // it was refused before
			_, err = s.Recv()
		}
		return s, err
	}
	headers := []string{
		sessionID, "s1", sessionSharedKey, "key", sessionMethod, "/a/b", sessionMethod, "/c/d",
		"x-y", "z",
	}
	first, err := open(alice, of(t, headers...))
	require.NoError(t, err)
	got := d.last(t).headers
	require.Equal(t, []string{"s1"}, got.Get(sessionID))
	require.Equal(t, []string{"/a/b", "/c/d"}, got.Get(sessionMethod))
	require.Empty(t, got.Get("x-y"))
	key := got.Get(sessionSharedKey)
	require.Len(t, key, 1)
	require.NotContains(t, key[0], "key")

	for name, tc := range map[string]struct {
		conn    *grpc.ClientConn
		headers []string
	}{
		"the same client again": {alice, headers},
		"another client":        {bob, headers},
		"a name with a colon":   {bob, []string{sessionID, "x:s1"}},
		"two names":             {bob, []string{sessionID, "s2", sessionID, "s1"}},
		"no name":               {bob, nil},
		"two shared keys": {
			bob, []string{sessionID, "s3", sessionSharedKey, "a", sessionSharedKey, "b"},
		},
		"too many methods": {bob, append([]string{sessionID, "s4"}, many(sessionMethod, 101)...)},
	} {
		_, err := open(tc.conn, of(t, tc.headers...))
		require.Error(t, err, name)
		requireCode(t, codes.PermissionDenied, err)
	}
	require.Len(t, d.all(), 1)

	// Its client may connect again, and nobody else.
	require.NoError(t, first.CloseSend())
	_, err = first.Recv()
	require.ErrorIs(t, err, io.EOF)
	_, err = open(bob, of(t, headers...))
	requireCode(t, codes.PermissionDenied, err)
	require.Eventually(t, func() bool {
		_, err := open(alice, of(t, headers...))
		return err == nil
	}, soon, 10*time.Millisecond)
	again := d.last(t).headers
	require.Equal(t, key, again.Get(sessionSharedKey))

	_, err = open(bob, of(t, sessionID, "s9", sessionSharedKey, "key"))
	require.NoError(t, err)
	require.NotEqual(t, key, d.last(t).headers.Get(sessionSharedKey), "clients share no snapshots")
}

func many(name string, n int) []string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, name, fmt.Sprintf("/m/%d", i))
	}
	return pairs
}

func TestSessionsThatEndedAreRememberedForAWhile(t *testing.T) {
	t.Parallel()
	s := newSessions()
	now := time.Now()
	s.now = func() time.Time { return now }
	end, err := s.connect("x", "alice")
	require.NoError(t, err)
	end()
	require.ErrorIs(t, s.claim("x", "bob"), errOthersSession)
	now = now.Add(afterlife + time.Second)
	require.NoError(t, s.claim("x", "bob"))

	for i := range maxSessions {
		_, err := s.connect(fmt.Sprintf("a%d", i), "alice")
		require.NoError(t, err)
	}
	_, err = s.connect("one-more", "alice")
	require.ErrorContains(t, err, "too many sessions")
	require.NoError(t, s.claim("y", "bob"))
}

func TestASlowReaderHoldsUpTheDaemonAndLeavingEndsItsCall(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	ctx, cancel := context.WithCancel(of(t))
	stream, err := controlapi.NewControlClient(as(t, g, "alice")).Status(ctx,
		&controlapi.StatusRequest{Ref: "b"})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	select {
	case <-d.canceled:
		t.Fatal("the daemon's call ended too early")
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	select {
	case <-d.canceled:
	case <-time.After(10 * time.Second):
		t.Fatal("the daemon's call goes on")
	}
}

func TestTracesOfClientsAreDropped(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	_, err := tracepb.NewTraceServiceClient(as(t, g, "alice")).Export(of(t),
		&tracepb.ExportTraceServiceRequest{})
	require.NoError(t, err)
	require.Empty(t, d.all())
}

func TestAConnectionBelongsToTheUserAtItsOtherEnd(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	require.NoError(t, err)
	defer l.Close()
	go func() { _, _ = net.Dial("unix", l.Addr().String()) }()
	conn, err := l.Accept()
	require.NoError(t, err)
	defer conn.Close()
	_, who, err := peerUser(conn)
	require.NoError(t, err)
	require.Equal(t, Identity(fmt.Sprintf("uid:%d", os.Getuid())), who.id)
}

func TestTheDaemonHasToBeNearWithoutTLS(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"unix:///run/x.sock": true, "tcp://127.0.0.1:1234": true, "tcp://[::1]:1": true,
		"tcp://10.0.0.1:1234": false, "tcp://localhost:1": false, "tcp://127.0.0.1": false,
		"/run/x.sock": false, "unix://run/x": false, "docker-container://x": false, "": false,
	} {
		conn, err := Dial(address)
		require.Equal(t, ok, err == nil, address)
		if ok {
			require.NoError(t, conn.Close())
		}
	}
}

// bytesCodec sends the same bytes for each message.
type bytesCodec string

func (b bytesCodec) Name() string { return "proto" }

func (b bytesCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (b bytesCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

func TestTheGuardAsksNothingThatItsClientHasAsked(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begun(t)
	pong, err := c.Ping(ctx, &gwpb.PingRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, pong.FrontendAPICaps)
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Len(t, d.pings(), 1)
}
