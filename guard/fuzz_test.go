package guard

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// judgedRequests are the requests of all methods that are judged, in one order.
var judgedRequests = []proto.Message{
	&controlapi.SolveRequest{}, &gwpb.SolveRequest{}, &gwpb.ReturnRequest{},
	&gwpb.ResolveSourceMetaRequest{}, &gwpb.ResolveImageConfigRequest{}, &gwpb.WarnRequest{},
	&gwpb.ReadFileRequest{}, &gwpb.ReadDirRequest{}, &gwpb.StatFileRequest{},
	&gwpb.EvaluateRequest{}, &controlapi.StatusRequest{}, &controlapi.BuildHistoryRequest{},
	&controlapi.UpdateBuildHistoryRequest{}, &contentapi.InfoRequest{},
	&controlapi.DiskUsageRequest{}, &controlapi.PruneRequest{},
	&contentapi.ReadContentRequest{}, &healthpb.HealthCheckRequest{}, &healthpb.HealthListRequest{},
	&gwpb.NewContainerRequest{}, &gwpb.ReleaseContainerRequest{}, &gwpb.ExecMessage{},
}

// requireKnown fails the test if a message, or one in it, has an unknown field, or sets a field
// that the table doesn't take.
func requireKnown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	name := m.Descriptor().FullName()
	require.Empty(t, m.GetUnknown(), name)
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		require.Equal(t, take, shapes[name][field.Name()], field.FullName())
		switch {
		case field.IsMap() && field.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				requireKnown(t, v.Message())
				return true
			})
		case field.IsMap() || field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := range v.List().Len() {
				requireKnown(t, v.List().Get(i).Message())
			}
		default:
			requireKnown(t, v.Message())
		}
		return true
	})
}

// someRequests are requests of clients, by their place in [judgedRequests].
func someRequests() map[byte][]proto.Message {
	policies := []*spb.Policy{{Rules: []*spb.Rule{{
		Action:   spb.PolicyAction_DENY,
		Selector: &spb.Selector{Identifier: "docker-image://*", MatchType: spb.MatchType_WILDCARD},
	}}}}
	cache := &controlapi.CacheOptions{
		ExportRefDeprecated: "a/b", ImportRefsDeprecated: []string{"a/c"},
		Exports: []*controlapi.CacheOptionsEntry{{Type: "inline"}},
		Imports: []*controlapi.CacheOptionsEntry{{Type: "local", Attrs: map[string]string{"src": "x"}}},
	}
	return map[byte][]proto.Message{
		0: {
			&controlapi.SolveRequest{Ref: "new", Cache: &controlapi.CacheOptions{}},
			&controlapi.SolveRequest{
				Ref: "new", Session: "s", ExporterDeprecated: "local", Internal: true, Cache: cache,
				FrontendAttrs: map[string]string{"label:a": "b", "attest:provenance": "mode=max"},
				Exporters: []*controlapi.Exporter{
					{Type: "image", Attrs: map[string]string{"name": "a/b", "push": "true"}},
				},
				SourcePolicy: policies[0],
			},
			&controlapi.SolveRequest{
				Ref: "new", Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{"filename": "x"},
			},
			&controlapi.SolveRequest{Ref: "new", Definition: &pb.Definition{Def: [][]byte{{}}}},
		},
		1: {
			asking("docker/dockerfile:1", "a", "b"), &gwpb.SolveRequest{Final: true},
			&gwpb.SolveRequest{
				AllowResultReturn: true, AllowResultArrayRef: true, SourcePolicies: policies,
				Definition: &pb.Definition{
					Def: [][]byte{{}},
					Source: &pb.Source{
						Infos: []*pb.SourceInfo{{Definition: &pb.Definition{}}},
					},
					Metadata: map[string]*pb.OpMetadata{"x": {IgnoreCache: true}},
				},
			},
			asking("docker/dockerfile:1", "cache-imports", `[{"Type":"registry","Attrs":{"ref":"a/b"}}]`,
				"cache-from", "a/c"),
		},
		2: {
			&gwpb.ReturnRequest{Result: &gwpb.Result{
				Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "x", Def: &pb.Definition{}}},
			}},
			&gwpb.ReturnRequest{Result: &gwpb.Result{Result: &gwpb.Result_Refs{
				Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{"linux": {Id: "own"}}},
			}}},
		},
		3: {&gwpb.ResolveSourceMetaRequest{
			Source: &pb.SourceOp{Identifier: "docker-image://docker.io/library/alpine:3"},
		}},
		4:  {&gwpb.ResolveImageConfigRequest{Ref: "alpine", SessionID: "x:s"}},
		5:  {&gwpb.WarnRequest{Digest: fakeDigest, Short: []byte("w")}},
		6:  {&gwpb.ReadFileRequest{Ref: "own", FilePath: "/a"}},
		9:  {&gwpb.EvaluateRequest{Ref: "own"}},
		10: {&controlapi.StatusRequest{Ref: "b"}},
		11: {&controlapi.BuildHistoryRequest{Ref: "b", EarlyExit: true, Filter: []string{"status==x"}}},
		12: {&controlapi.UpdateBuildHistoryRequest{Ref: "b", Delete: true}},
		14: {&contentapi.ReadContentRequest{Digest: fakeDigest}},
		15: {&healthpb.HealthCheckRequest{Service: "x"}},
		19: {
			&gwpb.NewContainerRequest{ContainerID: "y", Mounts: []*pb.Mount{
				{Dest: "/", ResultID: "own"}, {Dest: "/t", MountType: pb.MountType_TMPFS},
			}},
			&gwpb.NewContainerRequest{ContainerID: "x", Mounts: []*pb.Mount{
				{Dest: "/", ResultID: "own", CacheOpt: &pb.CacheOpt{ID: "a"}},
			}},
		},
		20: {&gwpb.ReleaseContainerRequest{ContainerID: "x"}},
		21: {
			starting("p", "x"), starting("p", "other"), stdin("p", 0, true),
			&gwpb.ExecMessage{ProcessID: "p", Input: &gwpb.ExecMessage_Signal{
				Signal: &gwpb.SignalMessage{Name: "INT"},
			}},
		},
	}
}

func mustMarshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	require.NoError(tb, err)
	return b
}

// Whatever a client sends, what is left of it has only fields that the table takes, and is the same
// after it has been sent and read again. What a request was rewritten to is judged the same again.
func FuzzJudgedMessages(f *testing.F) {
	for kind, all := range someRequests() {
		for _, m := range all {
			f.Add(kind, mustMarshal(f, m))
		}
	}
	dir := f.TempDir()
	under := map[string]*Policy{}
	for name, text := range map[string]string{
		"narrow": forwarding,
		"wide": forwarding + "exports: {push: {allow: [a/b]}, store: {allow: [a/b]}, " +
			"annotations: true}\ncaches: {imports: {registry: {allow: [a/**]}, local: allow}, " +
			"exports: {registry: {allow: [a/**]}, local: allow}}\n",
	} {
		path := filepath.Join(dir, name)
		require.NoError(f, os.WriteFile(path, []byte(text), 0o600))
		p, _, err := loadPolicy(path)
		require.NoError(f, err)
		under[name] = p
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		m := proto.Clone(judgedRequests[int(kind)%len(judgedRequests)])
		in := &rawcall.Frame{Data: mem.BufferSlice{mem.SliceBuffer(slices.Clone(data))}}
		if readFrame(in, m) != nil || checkShape(m) != nil {
			return
		}
		requireKnown(t, m.ProtoReflect())
		requireStable(t, m)
		switch req := m.(type) {
		case *controlapi.SolveRequest:
			for name, p := range under {
				requireStableRewrite(t, name, p, proto.Clone(req).(*controlapi.SolveRequest))
			}
		case *gwpb.SolveRequest:
			for _, p := range under {
				b := &build{guard: &Guard{sessions: newSessions()}, who: "alice", policy: p}
				if b.judgeCaches(req) != nil {
					continue
				}
				once := proto.Clone(req).(*gwpb.SolveRequest)
				require.NoError(t, b.judgeCaches(req))
				require.True(t, proto.Equal(once, req))
			}
		}
	})
}

// requireStable fails the test if a message is another one when it has been sent and read.
func requireStable(t *testing.T, m proto.Message) {
	t.Helper()
	sent, err := written(proto.Clone(m))
	require.NoError(t, err)
	again := m.ProtoReflect().New().Interface()
	require.NoError(t, readFrame(sent, again))
	require.True(t, proto.Equal(m, again))
	require.NoError(t, checkShape(again))
}

func requireStableRewrite(t *testing.T, name string, p *Policy, req *controlapi.SolveRequest) {
	t.Helper()
	if _, err := takeDirect(req); err != nil {
		return
	}
	layers, err := p.layers(clients.Client{}, req.FrontendAttrs)
	if err != nil || rewrite(layers, req) != nil {
		return
	}
	requireKnown(t, req.ProtoReflect())
	requireStable(t, req)
	require.False(t, req.EnableSessionExporter)
	require.Empty(t, req.ExporterDeprecated)
	require.Empty(t, req.ExporterAttrsDeprecated)
	require.Empty(t, req.Frontend)
	require.Nil(t, req.Definition)
	if name == "narrow" {
		for _, e := range req.Exporters {
			require.NotContains(t, []string{"image", "moby"}, e.Type)
		}
		require.Empty(t, req.Cache.GetImports())
	}
	once := proto.Clone(req).(*controlapi.SolveRequest)
	require.NoError(t, rewrite(layers, req), "it was allowed before")
	require.True(t, proto.Equal(once, req), "%v\n%v", once, req)
}

// recordingDaemon answers each call at once and remembers what arrived.
type recordingDaemon struct {
	mu    sync.Mutex
	calls []fakeCall
}

func (d *recordingDaemon) note(ctx context.Context, method string, request any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	d.calls = append(d.calls, fakeCall{method, md, request})
}

// take returns the calls since the last time.
func (d *recordingDaemon) take() []fakeCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := d.calls
	d.calls = nil
	return calls
}

func (d *recordingDaemon) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	d.note(ctx, info.FullMethod, req)
	result := &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "own"}}}
	switch info.FullMethod {
	case control + "Info":
		return &controlapi.InfoResponse{
			BuildkitVersion: &types.BuildkitVersion{Version: "v0.34.2"},
		}, nil
	case control + "Solve":
		return &controlapi.SolveResponse{}, nil
	case bridge + "Ping":
		return &gwpb.PongResponse{FrontendAPICaps: gwpb.Caps.All(), LLBCaps: pb.Caps.All()}, nil
	case bridge + "Solve":
		return &gwpb.SolveResponse{Result: result}, nil
	case bridge + "Return":
		return &gwpb.ReturnResponse{}, nil
	case bridge + "NewContainer":
		return &gwpb.NewContainerResponse{}, nil
	case bridge + "ReadFile":
		return &gwpb.ReadFileResponse{Data: []byte("FROM scratch\n")}, nil
	case bridge + "ResolveSourceMeta":
		return &gwpb.ResolveSourceMetaResponse{
			Source: req.(*gwpb.ResolveSourceMetaRequest).Source,
			Image:  &gwpb.ResolveSourceImageResponse{Digest: fakeDigest, Config: []byte("{}")},
		}, nil
	}
	return next(ctx, req)
}

// stream serves the streams of a daemon, and whatever it doesn't know.
func (d *recordingDaemon) stream(
	_ any, s grpc.ServerStream, info *grpc.StreamServerInfo, _ grpc.StreamHandler,
) error {
	d.note(s.Context(), info.FullMethod, nil)
	if info.FullMethod == control+"Session" {
		<-s.Context().Done()
	}
	return nil
}

// newRecordingDaemon starts a daemon, and a guard before it.
func newRecordingDaemon(f *testing.F, policy string) (*recordingDaemon, *Guard) {
	f.Helper()
	d := &recordingDaemon{}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(rawcall.MaxMessage), grpc.UnaryInterceptor(d.unary),
		grpc.StreamInterceptor(d.stream),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return nil }))
	controlapi.RegisterControlServer(s, &controlapi.UnimplementedControlServer{})
	contentapi.RegisterContentServer(s, &contentapi.UnimplementedContentServer{})
	gwpb.RegisterLLBBridgeServer(s, &gwpb.UnimplementedLLBBridgeServer{})
	l := bufconn.Listen(1 << 20)
	go func() { _ = s.Serve(l) }()
	f.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///daemon",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return l.DialContext(ctx)
		}), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(f, err)
	f.Cleanup(func() { _ = conn.Close() })
	path := filepath.Join(f.TempDir(), "policy.yaml")
	require.NoError(f, os.WriteFile(path, []byte(policy), 0o600))
	g, err := New(conn, Options{PolicyPath: path, Key: make([]byte, minKey)})
	require.NoError(f, err)
	return d, g
}

// wireCall is a client's call without a connection. It has one message.
type wireCall struct {
	ctx    context.Context
	method string
	rest   []byte // of the message, with its header
	sent   int
	stream *stream
}

// served serves the call, and ends its stream.
func (s *wireCall) served(g *Guard) error {
	err := g.serve(nil, callStream{s})
	s.stream.conn.endAll()
	return err
}

func newWireCall(
	ctx context.Context, g *Guard, method string, headers metadata.MD, message []byte,
) *wireCall {
	s := &wireCall{method: method}
	s.rest = binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	s.rest = append(s.rest, message...)
	ctx = metadata.NewIncomingContext(ctx, headers)
	on := &counted{
		guard: g, account: g.memory.open("alice"), streams: map[uint32]*stream{},
	}
	ctx = peer.NewContext(ctx, &peer.Peer{AuthInfo: caller{id: "alice", conn: on}})
	s.stream = on.begin(headers)
	ctx = context.WithValue(ctx, streamKey{}, s.stream)
	s.ctx = grpc.NewContextWithServerTransportStream(ctx, s)
	return s
}

func (s *wireCall) Method() string               { return s.method }
func (s *wireCall) SetHeader(metadata.MD) error  { return nil }
func (s *wireCall) SendHeader(metadata.MD) error { return nil }
func (s *wireCall) SetTrailer(metadata.MD) error { return nil }

// ReadMessageHeader and Read are what a stream of gRPC's own server has too.
func (s *wireCall) ReadMessageHeader(header []byte) error {
	if len(s.rest) == 0 {
		return io.EOF
	}
	n := copy(header, s.rest)
	s.rest = s.rest[n:]
	return nil
}

func (s *wireCall) Read(n int) (mem.BufferSlice, error) {
	if n > len(s.rest) {
		return nil, io.ErrUnexpectedEOF
	}
	data := s.rest[:n]
	s.rest = s.rest[n:]
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

// callStream is a [wireCall] as its handler sees it.
type callStream struct{ *wireCall }

func (s callStream) SetTrailer(metadata.MD)   {}
func (s callStream) Context() context.Context { return s.ctx }

func (s callStream) SendMsg(m any) error {
	s.sent++
	m.(*rawcall.Frame).Data.Free()
	return nil
}

// RecvMsg isn't called: the guard reads the wire.
func (s callStream) RecvMsg(any) error { panic("called") }

// own are the calls that the guard itself makes for a client's.
var own = []string{
	control + "Info", control + "Session", bridge + "Solve", bridge + "Ping", bridge + "ReadFile",
	bridge + "StatFile", bridge + "ResolveSourceMeta", bridge + "Return",
	bridge + "ReleaseContainer",
}

// Whatever a client calls, with whatever message, nothing breaks. The daemon gets only calls that
// the table lets through or that the guard makes itself, about builds of the client, and in judged
// messages no fields that the table doesn't take.
func FuzzTable(f *testing.F) {
	names := slices.Sorted(maps.Keys(table))
	requests := someRequests()
	for i, method := range names {
		f.Add(i, "", "b", []byte{})
		short := method[strings.LastIndexByte(method, '/')+1:]
		for kind, all := range requests {
			request := string(judgedRequests[kind].ProtoReflect().Descriptor().Name())
			of := strings.TrimSuffix(request, "Request")
			if of != short && of+"Container" != short &&
				(request != "ExecMessage" || short != "ExecProcess") {
				continue
			}
			for _, m := range all {
				f.Add(i, "", "b", mustMarshal(f, m))
				f.Add(i, "", "debugged", mustMarshal(f, m))
			}
		}
	}
	f.Add(-1, control+"Future", "b", []byte{8, 1})
	f.Add(-1, "", "", []byte{})
	d, g := newRecordingDaemon(f, forwarding+"llb: allow\ndebug: allow\n")
	b := &build{who: "alice", client: "b", session: "s", policy: g.policy.current()}
	err := g.begin(context.Background(), b)
	require.NoError(f, err)
	result := &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "own"}}}
	require.NoError(f, b.keep(result))
	debugged, contained := newDebuggedBuild(f, g, result)
	runs := 0
	f.Fuzz(func(t *testing.T, which int, method, id string, message []byte) {
		if which >= 0 {
			method = names[which%len(names)]
		}
		b.mu.Lock() // the build has made nothing yet
		b.choice, b.answers, b.warnings, b.warningBytes = nil, b.answers[:1], 0, 0
		b.mu.Unlock()
		contained(t)
		d.take()
		timeout := 20 * time.Second
		// A call waits for its build to begin, and these two have no end.
		endless := method == control+"Session" || method == healths+"Watch"
		if endless || id != "b" && id != debugged.client {
			timeout = 10 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		runs++
		run := fmt.Sprint(runs)
		s := newWireCall(ctx, g, method,
			metadata.Pairs(buildIDHeader, id, sessionID, id, "traceparent", run), message)
		err := s.served(g)
		r, known := methods(method)
		passes := known && r.verdict != refuse && r.verdict != answer
		for _, c := range d.take() {
			switch of := c.headers.Get("traceparent"); {
			case len(of) == 1 && of[0] == run:
				require.True(t, passes, "%s called %s", method, c.method)
				requireLetThrough(t, g, method, c)
			case len(of) == 0: // not of a call: a policy session, or a look at the daemon's health
				require.Contains(t, []string{control + "Session", control + "Info"}, c.method)
			}
		}
		if !known || r.verdict == refuse {
			require.Contains(t, []codes.Code{codes.Unimplemented, codes.PermissionDenied},
				status.Code(err), "%v", err)
		}
	})
}

// newDebuggedBuild begins a build of LLB that has a result. contained gives it a container "x", and
// no process.
func newDebuggedBuild(
	f *testing.F, g *Guard, result *gwpb.Result,
) (_ *build, contained func(*testing.T)) {
	f.Helper()
	b := &build{who: "alice", client: "debugged", session: "s", policy: g.policy.current()}
	require.NoError(f, g.begin(context.Background(), b))
	c := &call{guard: g, who: "alice"}
	_, err := b.own(context.Background(), c, nil)
	require.NoError(f, err)
	require.NoError(f, b.keep(result))
	b.noteMountable(references(result))
	daemon := gwpb.NewLLBBridgeClient(b.connection(c))
	return b, func(t *testing.T) {
		t.Helper()
		b.containers.ReleaseAll(context.Background(), daemon)
		require.NoError(t, b.containers.Create(context.Background(), daemon,
			&gwpb.NewContainerRequest{ContainerID: "x"}))
		b.mu.Lock()
		defer b.mu.Unlock()
		b.running, b.started = 0, 0
	}
}

// requireLetThrough fails the test unless a call at the daemon may follow from one of alice's.
func requireLetThrough(t *testing.T, g *Guard, method string, c fakeCall) {
	t.Helper()
	requireOwn := func(ref string) {
		t.Helper()
		_, own := g.names.clientRef("alice", ref)
		require.True(t, own, ref)
	}
	if c.method != method {
		require.Contains(t, own, c.method)
	}
	of, known := methods(c.method)
	require.True(t, known, c.method)
	require.NotEqual(t, refuse, of.verdict, c.method)
	require.NotEqual(t, answer, of.verdict, c.method)
	if strings.HasPrefix(c.method, bridge) {
		require.Len(t, c.headers.Get(buildIDHeader), 1)
		requireOwn(c.headers.Get(buildIDHeader)[0])
	}
	if m, ok := c.request.(proto.Message); ok && of.verdict == judge {
		requireKnown(t, m.ProtoReflect())
	}
	if req, ok := c.request.(*controlapi.SolveRequest); ok {
		require.Empty(t, req.Frontend)
		require.Nil(t, req.Definition)
		require.NotEmpty(t, req.SourcePolicySession)
		requireOwn(req.Ref)
	}
}
