package frontend

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	apicapspb "github.com/moby/buildkit/util/apicaps/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/streamconn"
)

// fakeDaemon answers the calls that a broker passes on, and records their requests. It is the
// connection beneath a client, so it also answers calls that are newer than this test.
type fakeDaemon struct {
	mu     sync.Mutex
	passed []proto.Message // in the order of the calls, without pings
}

// Invoke implements grpc.ClientConnInterface.
func (d *fakeDaemon) Invoke(
	_ context.Context, _ string, req, reply any, _ ...grpc.CallOption,
) error {
	in, out := req.(proto.Message), reply.(proto.Message)
	switch req := req.(type) {
	case *gwpb.PingRequest:
		newer := &apicapspb.APICap{ID: "source.from.the.future", Enabled: true}
		proto.Merge(out, &gwpb.PongResponse{
			FrontendAPICaps: append(gwpb.Caps.All(), newer),
			LLBCaps:         append(pb.Caps.All(), newer),
		})
		return nil
	case *gwpb.ResolveSourceMetaRequest:
		proto.Merge(out, &gwpb.ResolveSourceMetaResponse{
			Source: req.Source, Image: &gwpb.ResolveSourceImageResponse{Digest: digestOne.String()},
		})
	case *gwpb.ResolveImageConfigRequest:
		proto.Merge(out, &gwpb.ResolveImageConfigResponse{Ref: req.Ref, Digest: digestOne.String()})
	case *gwpb.ReadFileRequest:
		proto.Merge(out, &gwpb.ReadFileResponse{Data: []byte("data")})
	case *gwpb.SolveRequest:
		res := &gwpb.Result{Result: &gwpb.Result_RefDeprecated{RefDeprecated: "solved"}}
		if req.AllowResultArrayRef {
			res.Result = &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "solved", Def: req.Definition}}
		}
		proto.Merge(out, &gwpb.SolveResponse{Result: res})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passed = append(d.passed, proto.Clone(in))
	return nil
}

// NewStream implements grpc.ClientConnInterface.
func (d *fakeDaemon) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "the fake daemon has no streams")
}

const mediated = `version: 1
dispatch: mediate
build:
  images: {allow: ["mirror.corp/**"]}
  containers: allow
frontends:
  - {name: dockerfile, match: ["docker/dockerfile"]}
`

// served is a broker and the connection that an inner frontend has to it.
type served struct {
	gwpb.LLBBridgeClient
	conn   *grpc.ClientConn
	broker *broker
	daemon *fakeDaemon
}

func serveBroker(t *testing.T, doc string) served {
	t.Helper()
	m := monitorOf(
		t, &fakeClient{opts: map[string]string{optionkeys.Source: "corp/policy-frontend:v1"}}, doc,
	)
	d := &fakeDaemon{}
	client := gwpb.NewLLBBridgeClient(d)
	m.build.bridge = &bridge{LLBBridgeClient: client, raw: client}
	s := m.build.newBroker("docker/dockerfile:1", m, func(error) {})
	ours, theirs := net.Pipe()
	server := s.server()
	go func() { _ = server.Serve(streamconn.Listen(ours)) }()
	t.Cleanup(server.Stop)
	conn, err := dial(theirs)
	require.NoError(t, err)
	// The client takes the connection with its first call, and may never make one.
	t.Cleanup(func() { _, _ = conn.Close(), theirs.Close() })
	return served{LLBBridgeClient: gwpb.NewLLBBridgeClient(conn), conn: conn, broker: s, daemon: d}
}

// requireRefused fails the test unless the call was refused for the reason and didn't reach the
// daemon.
func (s served) requireRefused(t *testing.T, err error, reason string) {
	t.Helper()
	require.ErrorContains(t, err, reason)
	require.ErrorContains(t, s.broker.monitor.refused(), reason)
	require.Empty(t, s.daemon.passed)
}

func TestABrokerRefusesWhatItCannotCheck(t *testing.T) {
	t.Parallel()
	denied := marshalState(t, llb.Image("docker.io/library/busybox:latest"))
	for name, tc := range map[string]struct {
		ask    func(context.Context, served) error
		reason string
	}{
		"a denied image in a definition": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{Definition: denied})
			return err
		}, "busybox:latest"},
		"a denied image that is looked up": {func(ctx context.Context, s served) error {
			_, err := s.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
				Source: &pb.SourceOp{Identifier: "docker-image://docker.io/library/busybox:latest"},
			})
			return err
		}, "busybox:latest"},
		"a denied image, looked up in the old way": {func(ctx context.Context, s served) error {
			_, err := s.ResolveImageConfig(ctx, &gwpb.ResolveImageConfigRequest{
				Ref: "docker.io/library/busybox:latest",
			})
			return err
		}, "busybox:latest"},
		"attestations": {func(ctx context.Context, s served) error {
			_, err := s.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
				Source: &pb.SourceOp{Identifier: "docker-image://mirror.corp/base:1"},
				Image:  &gwpb.ResolveSourceImageRequest{AttestationChain: true},
			})
			return err
		}, "the attestations of an image"},
		"attestations by their kind": {func(ctx context.Context, s served) error {
			_, err := s.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
				Source: &pb.SourceOp{Identifier: "docker-image://mirror.corp/base:1"},
				Image:  &gwpb.ResolveSourceImageRequest{ResolveAttestations: []string{"x"}},
			})
			return err
		}, "the attestations of an image"},
		"a final solve": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{Definition: &pb.Definition{}, Final: true})
			return err
		}, "Final"},
		"a frontend of the daemon": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{Frontend: "dockerfile.v0"})
			return err
		}, "the daemon's own frontend dockerfile.v0"},
		"a nested frontend that no rule allows": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{
				Frontend:    "gateway.v0",
				FrontendOpt: map[string]string{"source": "evil/frontend"},
			})
			return err
		}, "no rule allows evil/frontend"},
		"a nested frontend that is ourselves": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{
				Frontend:    "gateway.v0",
				FrontendOpt: map[string]string{"source": "corp/policy-frontend:v1"},
			})
			return err
		}, "policy frontend"},
		"a nested frontend behind a named context": {func(ctx context.Context, s served) error {
			const context = "context:DOCKER.io/docker/dockerfile:1::linux/amd64"
			_, err := s.Solve(ctx, &gwpb.SolveRequest{
				Frontend: "gateway.v0",
				FrontendOpt: map[string]string{
					"source": "docker/dockerfile:1",
					context:  "docker-image://evil/frontend",
				},
			})
			return err
		}, "named context"},
		"cache of its own": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{
				Definition: &pb.Definition{},
				CacheImports: []*gwpb.CacheOptionsEntry{
					{Type: "registry", Attrs: map[string]string{"ref": "evil/cache"}},
				},
			})
			return err
		}, "cache"},
		"cache of its own for a nested frontend": {func(ctx context.Context, s served) error {
			_, err := s.Solve(ctx, &gwpb.SolveRequest{
				Frontend:     "gateway.v0",
				CacheImports: []*gwpb.CacheOptionsEntry{{Type: "registry"}},
			})
			return err
		}, "cache"},
		"a reference to read that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: "other"})
			return err
		}, "the reference other, which isn't its own"},
		"a reference to list that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.ReadDir(ctx, &gwpb.ReadDirRequest{Ref: "other"})
			return err
		}, "the reference other, which isn't its own"},
		"a reference to look at that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.StatFile(ctx, &gwpb.StatFileRequest{Ref: "other"})
			return err
		}, "the reference other, which isn't its own"},
		"a reference to evaluate that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: "other"})
			return err
		}, "the reference other, which isn't its own"},
		"a reference to mount that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.NewContainer(ctx, &gwpb.NewContainerRequest{
				Mounts: []*pb.Mount{{Dest: "/", ResultID: "other"}},
			})
			return err
		}, "the reference other, which isn't its own"},
		"a reference to return that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.Return(ctx, &gwpb.ReturnRequest{
				Result: &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "other"}}},
			})
			return err
		}, "the reference other, which isn't its own"},
		"another's reference, returned in the old way": {func(ctx context.Context, s served) error {
			_, err := s.Return(ctx, &gwpb.ReturnRequest{
				Result: &gwpb.Result{Result: &gwpb.Result_RefDeprecated{RefDeprecated: "other"}},
			})
			return err
		}, "the reference other, which isn't its own"},
		"others' references, returned in the old way": {func(ctx context.Context, s served) error {
			_, err := s.Return(ctx, &gwpb.ReturnRequest{
				Result: &gwpb.Result{
					Result: &gwpb.Result_RefsDeprecated{
						RefsDeprecated: &gwpb.RefMapDeprecated{
							Refs: map[string]string{"a": "other"},
						},
					},
				},
			})
			return err
		}, "the reference other, which isn't its own"},
		"an attestation to return that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.Return(ctx, &gwpb.ReturnRequest{
				Result: &gwpb.Result{
					Attestations: map[string]*gwpb.Attestations{
						"k": {Attestation: []*gwpb.Attestation{{Ref: &gwpb.Ref{Id: "other"}}}},
					},
				},
			})
			return err
		}, "the reference other, which isn't its own"},
		"a container to release that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: "other"})
			return err
		}, "the container other, which isn't its own"},
		"a container to read that isn't its own": {func(ctx context.Context, s served) error {
			_, err := s.ReadFileContainer(ctx, &gwpb.ReadFileRequest{Ref: "other"})
			return err
		}, "the container other, which isn't its own"},
		"a field that isn't known": {func(ctx context.Context, s served) error {
			req := &gwpb.PingRequest{}
			req.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127, a number
			_, err := s.Ping(ctx, req)
			return err
		}, "a call of Ping with fields that this version doesn't know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated)
			s.requireRefused(t, tc.ask(t.Context(), s), tc.reason)
		})
	}
}

func TestABrokerPassesOnWhatIsAllowed(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	ctx := t.Context()
	def := marshalState(t, llb.Image("mirror.corp/base:1"))
	own := []*gwpb.SolveRequest{
		{
			Definition:     def,
			SourcePolicies: onlyImage(s.broker.monitor.inner.pinned()),
			ExporterAttr:   []byte("{}"),
		},
	}
	resp, err := s.Solve(ctx, own[0])
	require.NoError(t, err)
	require.Equal(t, "solved", resp.Ref)
	require.Equal(t, "solved", resp.Result.GetRefDeprecated())

	passed, ok := s.daemon.passed[0].(*gwpb.SolveRequest)
	require.True(t, ok)
	want, err := s.broker.monitor.definition(ctx, def)
	require.NoError(t, err)
	require.NotEmpty(t, want)
	unmark(want)
	unmark(passed.SourcePolicies)
	require.True(
		t,
		proto.Equal(
			&gwpb.SolveRequest{Definition: def, AllowResultReturn: true, SourcePolicies: want},
			passed,
		),
		"its own source policies are replaced: %v", passed.SourcePolicies,
	)

	_, err = s.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: "solved"})
	require.NoError(t, err)

	resp, err = s.Solve(ctx, &gwpb.SolveRequest{
		Definition:          def,
		AllowResultReturn:   true,
		AllowResultArrayRef: true,
	})
	require.NoError(t, err)
	require.True(
		t, proto.Equal(&gwpb.Ref{Id: "solved", Def: def}, resp.Result.GetRef()),
		"what it is made of need not cross the connection twice",
	)
	require.NoError(t, s.broker.monitor.refused())
}

func TestABrokerReplacesTheSourcePoliciesOfALookup(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	op := &pb.SourceOp{Identifier: "docker-image://mirror.corp/base:1"}
	_, err := s.ResolveSourceMeta(t.Context(), &gwpb.ResolveSourceMetaRequest{
		Source:         op,
		SourcePolicies: onlyImage(s.broker.monitor.inner.pinned()),
	})
	require.NoError(t, err)
	_, err = s.ResolveImageConfig(t.Context(), &gwpb.ResolveImageConfigRequest{
		Ref:            "mirror.corp/base:1",
		SourcePolicies: onlyImage(s.broker.monitor.inner.pinned()),
	})
	require.NoError(t, err)
	want, err := s.broker.monitor.source(t.Context(), op)
	require.NoError(t, err)
	require.NotEmpty(t, want)
	unmark(want)
	meta, ok := s.daemon.passed[0].(*gwpb.ResolveSourceMetaRequest)
	require.True(t, ok)
	unmark(meta.SourcePolicies)
	require.True(t, proto.Equal(
		&gwpb.ResolveSourceMetaRequest{Source: op, SourcePolicies: want}, meta,
	))
	config, ok := s.daemon.passed[1].(*gwpb.ResolveImageConfigRequest)
	require.True(t, ok)
	unmark(config.SourcePolicies)
	require.True(t, proto.Equal(
		&gwpb.ResolveImageConfigRequest{Ref: "mirror.corp/base:1", SourcePolicies: want}, config,
	))
}

func TestABrokerAnswersNothingAfterARefusal(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	ctx := t.Context()
	_, err := s.Solve(ctx, &gwpb.SolveRequest{Frontend: "dockerfile.v0"})
	require.ErrorContains(t, err, "it asks for the daemon's own frontend dockerfile.v0")
	_, err = s.Solve(ctx, &gwpb.SolveRequest{
		Definition: marshalState(t, llb.Image("mirror.corp/base:1")),
	})
	require.ErrorContains(t, err, "dockerfile.v0")
	require.Empty(t, s.daemon.passed)
	_, err = s.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{}})
	require.NoError(t, err, "so that it can end")
}

func TestABrokerHidesWhatIsNewerThanThisProgram(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	pong, err := s.Ping(t.Context(), &gwpb.PingRequest{})
	require.NoError(t, err)
	require.Len(t, pong.FrontendAPICaps, len(gwpb.Caps.All()))
	require.Len(t, pong.LLBCaps, len(pb.Caps.All()))
}

func TestABrokerDoesNotKnowNewerCalls(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	err := s.conn.Invoke(
		t.Context(), "/moby.buildkit.v1.frontend.LLBBridge/Newer", &gwpb.PingRequest{},
		&gwpb.PongResponse{},
	)
	require.Equal(t, codes.Unimplemented, status.Code(err))
}
