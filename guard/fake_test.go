package guard

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// fakeDaemon serves the API of a daemon and records what arrives.
type fakeDaemon struct {
	controlapi.UnimplementedControlServer

	mu       sync.Mutex
	calls    []fakeCall
	history  []*controlapi.BuildHistoryEvent
	canceled chan struct{} // closed when a client's Status has ended
	failure  error         // of Info
	waits    bool          // Status waits until the client ends it, and closes nothing
	endless  bool          // Prune goes on until the client ends it, and closes canceled

	// asks is called with each source that a call is about, as a daemon asks about it. Nil is none.
	asks func(*pb.SourceOp)

	returned chan *gwpb.ReturnRequest
	ends     bool // a build ends when its result is returned

	breakSessions bool
	version       string
	workers       []*types.WorkerRecord
	workersFail   error
	imageConfig   string            // of all images
	metadata      map[string][]byte // of results
	result        *pb.Definition
	// makes is what a frontend makes of its options. Nil is result.
	makes         func(opts map[string]string) *pb.Definition
	frontendFails error
	evaluateFails error
	evaluates     chan struct{} // closed when the guard ends an Evaluate; nil: it ends itself
	file          []byte        // the text of all files

	exporterResponse map[string]string

	// progress is what Status sends, and then it waits for stopped. Nil is progress without end.
	progress *controlapi.StatusResponse
	// silence is how long Status waits with that.
	silence time.Duration
	stopped chan struct{} // closed when the client has ended a build
	stop    sync.Once
	holds   chan struct{} // what the daemon waits for before a build ends; nil for nothing
}

type fakeCall struct {
	method  string
	headers metadata.MD
	request any
}

func (d *fakeDaemon) record(ctx context.Context, request any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	method, _ := grpc.Method(ctx)
	md, _ := metadata.FromIncomingContext(ctx)
	d.calls = append(d.calls, fakeCall{method, md, request})
}

func (d *fakeDaemon) all() []fakeCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]fakeCall(nil), d.calls...)
}

func (d *fakeDaemon) last(t *testing.T) fakeCall {
	t.Helper()
	calls := d.all()
	require.NotEmpty(t, calls, "no call reached the daemon")
	return calls[len(calls)-1]
}

// pings returns the calls of Ping. Others may call at the same time.
func (d *fakeDaemon) pings() (all []fakeCall) {
	for _, c := range d.all() {
		if strings.HasSuffix(c.method, "/Ping") {
			all = append(all, c)
		}
	}
	return all
}

func (d *fakeDaemon) Info(
	ctx context.Context, req *controlapi.InfoRequest,
) (*controlapi.InfoResponse, error) {
	d.record(ctx, req)
	return &controlapi.InfoResponse{
		BuildkitVersion: &types.BuildkitVersion{Version: d.version},
	}, d.failure
}

func (d *fakeDaemon) ListWorkers(
	ctx context.Context, req *controlapi.ListWorkersRequest,
) (*controlapi.ListWorkersResponse, error) {
	d.record(ctx, req)
	return &controlapi.ListWorkersResponse{Record: d.workers}, d.workersFail
}

func (d *fakeDaemon) UpdateBuildHistory(
	ctx context.Context, req *controlapi.UpdateBuildHistoryRequest,
) (*controlapi.UpdateBuildHistoryResponse, error) {
	d.record(ctx, req)
	return &controlapi.UpdateBuildHistoryResponse{}, nil
}

func (d *fakeDaemon) ListenBuildHistory(
	req *controlapi.BuildHistoryRequest, s controlapi.Control_ListenBuildHistoryServer,
) error {
	d.record(s.Context(), req)
	for _, event := range d.history {
		if err := s.Send(event); err != nil {
			return err
		}
	}
	return nil
}

func (d *fakeDaemon) DiskUsage(
	ctx context.Context, req *controlapi.DiskUsageRequest,
) (*controlapi.DiskUsageResponse, error) {
	d.record(ctx, req)
	return &controlapi.DiskUsageResponse{Record: []*controlapi.UsageRecord{{ID: "kept"}}}, nil
}

func (d *fakeDaemon) Prune(req *controlapi.PruneRequest, s controlapi.Control_PruneServer) error {
	d.record(s.Context(), req)
	if err := s.Send(&controlapi.UsageRecord{ID: "pruned"}); err != nil || !d.endless {
		return err
	}
	<-s.Context().Done()
	close(d.canceled)
	return s.Context().Err()
}

// Status sends without end, unless there is a progress or it waits for a build.
func (d *fakeDaemon) Status(
	req *controlapi.StatusRequest, s controlapi.Control_StatusServer,
) error {
	d.record(s.Context(), req)
	if d.waits {
		<-s.Context().Done()
		return s.Context().Err()
	}
	if d.progress != nil {
		select {
		case <-time.After(d.silence):
		case <-s.Context().Done():
		}
		if err := s.Send(d.progress); err != nil {
			return err
		}
		select {
		case <-d.stopped:
		case <-s.Context().Done():
		}
		return nil
	}
	defer close(d.canceled)
	for {
		msg := &controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Msg: make([]byte, 1<<20)}}}
		if err := s.Send(msg); err != nil {
			return err
		}
	}
}

// Solve goes on until the client ends it, or until the build ends.
func (d *fakeDaemon) Solve(
	ctx context.Context, req *controlapi.SolveRequest,
) (*controlapi.SolveResponse, error) {
	d.record(ctx, req)
	if !d.ends {
		<-ctx.Done()
		d.mu.Lock()
		holds := d.holds
		d.mu.Unlock()
		if holds != nil {
			<-holds
		}
		d.stop.Do(func() { close(d.stopped) })
		return nil, ctx.Err()
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-d.returned:
		return &controlapi.SolveResponse{ExporterResponse: maps.Clone(d.exporterResponse)},
			status.ErrorProto(r.GetError())
	}
}

// await returns the first call of a method, and waits for it. The name of the method may have that
// of its service before it, Control or LLBBridge: the guard itself calls LLBBridge.Solve.
func (d *fakeDaemon) await(t *testing.T, method string) (found fakeCall) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, c := range d.all() {
			if strings.HasSuffix(strings.ReplaceAll(c.method, ".", "/"), "/"+method) {
				found = c
				return true
			}
		}
		return false
	}, soon, time.Millisecond)
	return found
}

// Session echoes what the tests send, and ignores what a server in a session does.
func (d *fakeDaemon) Session(s controlapi.Control_SessionServer) error {
	d.record(s.Context(), nil)
	if d.breakSessions {
		return errors.New("broken")
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if string(m.Data) != "hello" {
			continue
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}

// fakeContent knows all content.
type fakeContent struct {
	contentapi.UnimplementedContentServer
}

func (fakeContent) Info(
	context.Context, *contentapi.InfoRequest,
) (*contentapi.InfoResponse, error) {
	return &contentapi.InfoResponse{}, nil
}

// fakeBridge serves the gateway API of a fakeDaemon.
type fakeBridge struct {
	gwpb.UnimplementedLLBBridgeServer
	daemon *fakeDaemon
}

func (b *fakeBridge) Ping(ctx context.Context, req *gwpb.PingRequest) (*gwpb.PongResponse, error) {
	b.daemon.record(ctx, req)
	return &gwpb.PongResponse{FrontendAPICaps: gwpb.Caps.All(), LLBCaps: pb.Caps.All()}, nil
}

// ResolveSourceMeta knows one digest for all images.
func (b *fakeBridge) ResolveSourceMeta(
	ctx context.Context, req *gwpb.ResolveSourceMetaRequest,
) (*gwpb.ResolveSourceMetaResponse, error) {
	b.daemon.record(ctx, req)
	if b.daemon.asks != nil {
		b.daemon.asks(req.Source)
	}
	return &gwpb.ResolveSourceMetaResponse{
		Source: req.Source,
		Image: &gwpb.ResolveSourceImageResponse{
			Digest: fakeDigest, Config: []byte(b.daemon.imageConfig),
		},
	}, nil
}

const fakeDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func (b *fakeBridge) ResolveImageConfig(
	ctx context.Context, req *gwpb.ResolveImageConfigRequest,
) (*gwpb.ResolveImageConfigResponse, error) {
	b.daemon.record(ctx, req)
	return &gwpb.ResolveImageConfigResponse{Digest: fakeDigest}, nil
}

// Solve returns the reference "own" to the guard, and "result" for a frontend.
func (b *fakeBridge) Solve(
	ctx context.Context, req *gwpb.SolveRequest,
) (*gwpb.SolveResponse, error) {
	b.daemon.record(ctx, req)
	for f, err := range llbops.FromDefinition(req.Definition) {
		if err != nil {
			return nil, err
		}
		if b.daemon.asks != nil && f.Source != nil {
			b.daemon.asks(f.Source)
		}
	}
	ref := &gwpb.Ref{Id: "own"}
	if req.Frontend != "" {
		if b.daemon.frontendFails != nil {
			return nil, grpcerrors.ToGRPC(ctx, b.daemon.frontendFails)
		}
		ref = &gwpb.Ref{Id: "result", Def: b.daemon.result}
		if b.daemon.makes != nil {
			ref.Def = b.daemon.makes(req.FrontendOpt)
		}
		if req.FrontendOpt[requestID] == "targets" { // which the fake frontend knows
			ref = &gwpb.Ref{}
		}
	}
	return &gwpb.SolveResponse{Result: &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: ref}, Metadata: maps.Clone(b.daemon.metadata),
	}}, nil
}

func (b *fakeBridge) ReadFile(
	ctx context.Context, req *gwpb.ReadFileRequest,
) (*gwpb.ReadFileResponse, error) {
	b.daemon.record(ctx, req)
	return &gwpb.ReadFileResponse{Data: b.daemon.file}, nil
}

func (b *fakeBridge) StatFile(
	context.Context, *gwpb.StatFileRequest,
) (*gwpb.StatFileResponse, error) {
	return nil, errors.New("no such file")
}

func (b *fakeBridge) Evaluate(
	ctx context.Context, req *gwpb.EvaluateRequest,
) (*gwpb.EvaluateResponse, error) {
	b.daemon.record(ctx, req)
	if b.daemon.evaluates != nil {
		<-ctx.Done()
		close(b.daemon.evaluates)
		return nil, ctx.Err()
	}
	return &gwpb.EvaluateResponse{}, grpcerrors.ToGRPC(ctx, b.daemon.evaluateFails)
}

func (b *fakeBridge) Warn(
	ctx context.Context, req *gwpb.WarnRequest,
) (*gwpb.WarnResponse, error) {
	b.daemon.record(ctx, req)
	return &gwpb.WarnResponse{}, nil
}

func (b *fakeBridge) Return(
	ctx context.Context, req *gwpb.ReturnRequest,
) (*gwpb.ReturnResponse, error) {
	b.daemon.record(ctx, req)
	b.daemon.returned <- req
	return &gwpb.ReturnResponse{}, nil
}

// forwarding is a policy under which the daemon runs docker/dockerfile.
const forwarding = "version: 1\nfrontends: [{name: dockerfile, match: [docker/dockerfile]}]\n"

// newDaemon starts a fake daemon and a guard before it.
func newDaemon(t *testing.T) (*fakeDaemon, *Guard) {
	t.Helper()
	return newDaemonFor(t, forwarding, "")
}

// newDaemonFor is newDaemon for a policy, and an image to which builds are handed over.
func newDaemonFor(t *testing.T, policy, image string) (*fakeDaemon, *Guard) {
	t.Helper()
	d := &fakeDaemon{
		canceled: make(chan struct{}), stopped: make(chan struct{}),
		returned: make(chan *gwpb.ReturnRequest, 10), version: "v0.34.2",
		imageConfig: "{}", metadata: map[string][]byte{"a": []byte("b")},
		result: &pb.Definition{Def: [][]byte{{}}}, file: []byte("FROM scratch\n"),
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(rawcall.MaxMessage))
	controlapi.RegisterControlServer(s, d)
	contentapi.RegisterContentServer(s, fakeContent{})
	gwpb.RegisterLLBBridgeServer(s, &fakeBridge{daemon: d})
	conn, err := Dial("unix://" + listen(t, s))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	g, err := New(conn, Options{PolicyPath: path, Image: image, Key: make([]byte, minKey)})
	require.NoError(t, err)
	return d, g
}

// listen serves on a Unix socket and returns its path.
func listen(t *testing.T, s *grpc.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return path
}

// as returns a client of the guard with the identity.
func as(t *testing.T, g *Guard, who Identity) *grpc.ClientConn {
	t.Helper()
	return dial(t, listen(t, g.Server(fixed(who))))
}

func fixed(who Identity) credentials.TransportCredentials {
	return known(caller{id: who})
}

// known identifies all clients as the caller.
func known(who caller) credentials.TransportCredentials {
	return &identify{
		handshake: func(conn net.Conn) (net.Conn, caller, error) { return conn, who, nil },
	}
}

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20), grpc.MaxCallRecvMsgSize(64<<20)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// of returns a context with headers.
func of(t *testing.T, pairs ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

func requireCode(t *testing.T, want codes.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want.String(), status.Code(err).String(), err.Error())
}
