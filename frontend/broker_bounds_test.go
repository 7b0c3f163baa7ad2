package frontend

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Rules must be about the option that arrives.
func TestAnOptionThatArrivesAsAnotherOneIsRefused(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]map[string]string{
		"a name with the value in it": {"build-arg:HTTP_PROXY=http://evil/?a": "b"},
		"a name that is cut off":      {"build-arg:A\x00B": "b"},
		"a value that is cut off":     {"build-arg:A": "b\x00c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated)
			opts[optionkeys.Source] = "docker/dockerfile:1"
			_, err := s.broker.Solve(t.Context(), &gwpb.SolveRequest{
				Frontend:    gatewayFrontend,
				FrontendOpt: opts,
			})
			s.requireRefused(t, err, "can't be passed on unchanged")
		})
	}
}

// The policy frontend has followed the client's BUILDKIT_SYNTAX before the inner frontend starts. A
// nested frontend may follow the one that its runner sets.
func TestANestedFrontendGetsTheSyntaxThatItsRunnerNames(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	opts := map[string]string{
		optionkeys.Syntax:                  "corp/other:1",
		"build-arg:POLICY_FRONTEND_POLICY": "x",
	}
	require.Equal(
		t, map[string]string{optionkeys.Syntax: "corp/other:1"},
		s.broker.build.nest(opts, nil).opts.Inner(policy.Obligations{}),
	)
	require.Empty(t, gatewayopts.Parse(opts).Inner(policy.Obligations{}))
}

func TestTheDetailsOfAnErrorAreBounded(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	said := &spb.Status{Code: 2, Message: "it failed"}
	for range maxDetails * 10 {
		said.Details = append(said.Details, &anypb.Any{
			TypeUrl: "github.com/moby/buildkit/errdefs.Source+json",
			Value:   []byte("{}"),
		})
	}
	_, err := s.Return(t.Context(), &gwpb.ReturnRequest{Error: said})
	require.NoError(t, err)
	_, err, ok := s.broker.outcome()
	require.True(t, ok)
	require.ErrorContains(t, err, "it failed")
	st, ok := status.FromError(grpcerrors.ToGRPC(context.Background(), err))
	require.True(t, ok)
	require.LessOrEqual(t, len(st.Proto().Details), maxDetails+1)
}

func TestAnAttestationWithoutReferenceGetsAnEmptyOne(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	_, err := s.Return(t.Context(), &gwpb.ReturnRequest{Result: &gwpb.Result{
		Attestations: map[string]*gwpb.Attestations{
			"k": {Attestation: []*gwpb.Attestation{{Path: "/x"}}},
		},
	}})
	require.NoError(t, err)
	res, _, ok := s.broker.outcome()
	require.True(t, ok)
	require.NotNil(t, res.Attestations["k"].Attestation[0].Ref)
}

func TestTheEmptyReferenceBelongsToNoFrontend(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	require.NoError(t, s.broker.track(
		t.Context(), &gwpb.Result{Result: &gwpb.Result_RefDeprecated{}},
	))
	_, err := s.broker.ReadFile(t.Context(), &gwpb.ReadFileRequest{})
	s.requireRefused(t, err, `the reference "", which isn't its own`)
}

func TestTheDefinitionsKeptForANestedFrontendAreBounded(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	s.broker.build.nested = true
	def := marshalState(t, llb.Image("mirror.corp/base:1"))
	own := func(id string) {
		res := &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: id, Def: def}}}
		require.NoError(t, s.broker.track(t.Context(), res))
	}
	own("kept")
	for s.broker.account.keepDefinition(1 << 10) {
	}
	own("beyond")
	require.NotNil(t, s.broker.definition("kept"))
	require.Nil(t, s.broker.definition("beyond"))
	require.NoError(t, s.broker.checkRef("beyond"))
}

// Daemons complete the short references of old frontends too.
func TestAShortReferenceIsLookedUpInFull(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, strings.Replace(mediated, "mirror.corp/**", "docker.io/library/*", 1))
	_, err := s.ResolveImageConfig(t.Context(), &gwpb.ResolveImageConfigRequest{Ref: "busybox:1"})
	require.NoError(t, err)
	passed, ok := s.daemon.passed[0].(*gwpb.ResolveImageConfigRequest)
	require.True(t, ok)
	require.Equal(t, "docker.io/library/busybox:1", passed.Ref)
}

// A process names no network: it has its container's.
func TestAProcessHasTheNetworkOfItsContainer(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, strings.Replace(
		mediated, "containers: allow", "containers: allow\n  exec: {networks: [none]}", 1,
	))
	ctx := t.Context()
	_, err := s.NewContainer(ctx, &gwpb.NewContainerRequest{
		ContainerID: "c",
		Network:     pb.NetMode_NONE,
	})
	require.NoError(t, err)
	init := func() *gwpb.ExecMessage {
		return &gwpb.ExecMessage{
			ProcessID: "p",
			Input: &gwpb.ExecMessage_Init{
				Init: &gwpb.InitMessage{ContainerID: "c", Meta: &pb.Meta{Args: []string{"true"}}},
			},
		}
	}
	require.NoError(t, s.broker.checkProcess(ctx, init()))

	err = s.broker.monitor.refuseUnknown("the moon")
	requireRefusal(t, err, "invariant: it asks for the moon, which no rule can allow")
	require.ErrorContains(
		t, s.broker.checkProcess(ctx, init()), "the moon", "nothing starts after a refusal",
	)
}

// lostContainers is a daemon that makes containers after the caller has given up.
type lostContainers struct {
	gwpb.LLBBridgeClient
	leave    context.CancelFunc
	made     string
	released atomic.Pointer[string]
}

func (d *lostContainers) NewContainer(
	ctx context.Context, req *gwpb.NewContainerRequest, _ ...grpc.CallOption,
) (*gwpb.NewContainerResponse, error) {
	d.made = req.ContainerID
	d.leave()
	return nil, ctx.Err()
}

func (d *lostContainers) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest, _ ...grpc.CallOption,
) (*gwpb.ReleaseContainerResponse, error) {
	d.released.Store(&req.ContainerID)
	return &gwpb.ReleaseContainerResponse{}, ctx.Err()
}

func TestAContainerIsReleasedIfItsFrontendDidNotWait(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	ctx, leave := context.WithCancel(t.Context())
	d := &lostContainers{leave: leave}
	s.broker.daemon = d
	_, err := s.broker.NewContainer(ctx, &gwpb.NewContainerRequest{ContainerID: "c"})
	require.ErrorIs(t, err, context.Canceled)
	require.NotEmpty(t, d.made)
	require.Equal(t, d.made, *d.released.Load())
}

// A nested frontend doesn't get an option that a rule strips from its runner.
func TestAStrippedCacheIsNotImportedByANestedFrontend(t *testing.T) {
	t.Parallel()
	c := newFake(t, "", map[string]string{gatewayopts.CacheFrom: "corp/cache"})
	named := []*gwpb.CacheOptionsEntry{
		{Type: "registry", Attrs: map[string]string{"ref": "corp/cache"}},
	}
	outer := monitorOf(t, c, mediated)
	require.NoError(t, outer.within(outer.inner).cacheImports(named))
	inner := outer.inner
	outer.inner.decision.Obligations.Strip = []string{gatewayopts.CacheFrom}
	requireRefusal(t, outer.within(inner).cacheImports(named), "invariant: it asks for "+
		"a build cache of type registry that the client didn't name, which no rule can allow")
}

func TestTheBuildHasTheWarningsOfANestedFrontend(t *testing.T) {
	t.Parallel()
	outer := monitorOf(t, newFake(t, "", nil), mediated)
	inner := outer.inner
	inner.decision.Verdict, inner.decision.Warnings = policy.Warn, []string{"would be refused: x"}
	outer.within(inner)
	require.Equal(t, policy.Warn, outer.decided().Verdict)
	require.Equal(t, []string{"would be refused: x"}, outer.decided().Warnings)
}

// The rules on sources apply to a nested frontend before it reads any, so it may take a date from
// one, and a date in its build file has its effect.
func TestANestedFrontendMayTakeADateFromASource(t *testing.T) {
	t.Parallel()
	const date = "build-arg:SOURCE_DATE_EPOCH"
	s := serveBroker(t, mediated)
	b := s.broker.build
	b.layers = monitorLayers(t, strings.Replace(mediated, "mediate", "forward", 1))
	b.client.(*fakeClient).tags = map[string]digest.Digest{
		"docker.io/docker/dockerfile:1": digestOne,
	}
	for _, opts := range []map[string]string{{}, {date: "stage"}} {
		r, err := s.broker.nestedRequest(&gwpb.SolveRequest{
			FrontendOpt: map[string]string{optionkeys.Source: "docker/dockerfile:1"},
		})
		require.NoError(t, err)
		nested := b.nest(opts, nil)
		chosen, err := nested.authorize(t.Context(), r)
		require.NoError(t, err)
		inner := nested.innerOptions(chosen)
		require.Equal(t, opts[date], inner[date])
		require.Equal(t, opts[date] != "", len(inner) > 1, "nothing else than the source is set")
	}
}
