package frontend

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
)

func TestAReturnedResultHasNoDefinitionsOfTheFrontends(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	ctx := t.Context()
	_, err := s.Solve(ctx, &gwpb.SolveRequest{
		Definition: marshalState(t, llb.Image("mirror.corp/base:1")),
	})
	require.NoError(t, err)
	require.NoError(t, s.broker.track(ctx, &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "attested"}},
	}))
	forged := marshalState(t, llb.Image("docker.io/library/busybox:latest"))
	_, err = s.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{
		Result: &gwpb.Result_Refs{
			Refs: &gwpb.RefMap{
				Refs: map[string]*gwpb.Ref{"linux/amd64": {Id: "solved", Def: forged}, "empty": {}},
			},
		},
		Metadata: map[string][]byte{"k": []byte("v")},
		Attestations: map[string]*gwpb.Attestations{
			"linux/amd64": {
				Attestation: []*gwpb.Attestation{
					{Path: "/p", Ref: &gwpb.Ref{Id: "attested", Def: forged}},
				},
			},
		},
	}})
	require.NoError(t, err)
	res, err, ok := s.broker.outcome()
	require.NoError(t, err)
	require.True(t, ok)
	n := 0
	for ref := range gatewayresult.References(res) {
		n++
		require.Nil(t, ref.Def)
	}
	require.Equal(t, 3, n)
	require.Equal(t, "solved", res.GetRefs().GetRefs()["linux/amd64"].GetId())
	require.Equal(t, "/p", res.Attestations["linux/amd64"].Attestation[0].Path)
	require.Equal(t, map[string][]byte{"k": []byte("v")}, res.Metadata)
}

func TestAFrontendReturnsOneResultOrError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		req  *gwpb.ReturnRequest
		code codes.Code
		want string // the error with which the build fails
	}{
		"nothing": {&gwpb.ReturnRequest{}, codes.InvalidArgument, ""},
		"both": {
			&gwpb.ReturnRequest{Result: &gwpb.Result{}, Error: &spb.Status{Code: 2}},
			codes.InvalidArgument,
			"",
		},
		"an error": {
			&gwpb.ReturnRequest{Error: &spb.Status{Code: 2, Message: "no such stage"}},
			codes.OK,
			"no such stage",
		},
		"an error with the code OK": {
			&gwpb.ReturnRequest{Error: &spb.Status{}},
			codes.OK,
			"an error with the code OK",
		},
		"an empty result": {&gwpb.ReturnRequest{Result: &gwpb.Result{}}, codes.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated)
			_, err := s.Return(t.Context(), tc.req)
			require.Equal(t, tc.code, status.Code(err))
			_, err, ok := s.broker.outcome()
			require.Equal(t, tc.code == codes.OK, ok)
			if tc.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.want)
			}
			if ok {
				_, err := s.Return(t.Context(), &gwpb.ReturnRequest{Result: &gwpb.Result{}})
				require.Equal(t, codes.FailedPrecondition, status.Code(err), "once")
			}
		})
	}
}

func TestANestedFrontendsResultHasTheDaemonsDefinitions(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	s.broker.build.nested = true
	ctx := t.Context()
	solved, err := s.Solve(ctx, &gwpb.SolveRequest{
		Definition:          marshalState(t, llb.Image("mirror.corp/base:1")),
		AllowResultReturn:   true,
		AllowResultArrayRef: true,
	})
	require.NoError(t, err)
	_, err = s.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{
		Result: &gwpb.Result_Ref{
			Ref: &gwpb.Ref{
				Id:  "solved",
				Def: marshalState(t, llb.Image("docker.io/library/busybox:latest")),
			},
		},
	}})
	require.NoError(t, err)
	res, err, ok := s.broker.outcome()
	require.NoError(t, err)
	require.True(t, ok)
	require.NotEmpty(t, res.GetRef().GetDef().GetDef())
	require.Equal(t, solved.Result.GetRef().GetDef().GetDef(), res.GetRef().GetDef().GetDef())
}

func TestAReturnedImageIsChecked(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, strings.Replace(
		mediated, "build:", "build:\n  config: {user: {forbid: [root]}}", 1,
	))
	ctx := t.Context()
	_, err := s.Solve(ctx, &gwpb.SolveRequest{
		Definition: marshalState(t, llb.Image("mirror.corp/base:1")),
	})
	require.NoError(t, err)
	_, err = s.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "solved"}},
		Metadata: map[string][]byte{
			exptypes.ExporterImageConfigKey: []byte(`{"config": {"User": "0:0"}}`),
		},
	}})
	const reason = `the policy refuses the image that is built: its user is "root" ` +
		`(build.config.user.forbid: "root")`
	require.ErrorContains(t, err, reason)
	requireRefusal(t, s.broker.monitor.refused(), "build: "+reason)
	_, _, ok := s.broker.outcome()
	require.False(t, ok)
}

func TestTheBrokerNamesContainers(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	ctx := t.Context()
	_, err := s.Solve(ctx, &gwpb.SolveRequest{
		Definition: marshalState(t, llb.Image("mirror.corp/base:1")),
	})
	require.NoError(t, err)
	req := &gwpb.NewContainerRequest{
		ContainerID: "mine",
		Mounts:      []*pb.Mount{{Dest: "/", ResultID: "solved"}},
	}
	_, err = s.NewContainer(ctx, req)
	require.NoError(t, err)
	_, err = s.NewContainer(ctx, req)
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	_, err = s.ReadFileContainer(ctx, &gwpb.ReadFileRequest{Ref: "mine"})
	require.NoError(t, err)

	first, ok := s.daemon.passed[1].(*gwpb.NewContainerRequest)
	require.True(t, ok)
	require.NotEqual(t, "mine", first.ContainerID)
	require.NotEmpty(t, first.ContainerID)
	read, ok := s.daemon.passed[len(s.daemon.passed)-1].(*gwpb.ReadFileRequest)
	require.True(t, ok)
	require.Equal(t, first.ContainerID, read.Ref)

	s.broker.containers.ReleaseAll(ctx, s.broker.daemon)
	released, ok := s.daemon.passed[len(s.daemon.passed)-1].(*gwpb.ReleaseContainerRequest)
	require.True(t, ok)
	require.Equal(t, first.ContainerID, released.ContainerID)
	_, err = s.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: "mine"})
	require.ErrorContains(t, err, "the container mine, which isn't its own")
}

func TestContainersNeedARule(t *testing.T) {
	t.Parallel()
	s := serveBroker(
		t,
		"version: 1\ndispatch: mediate\nfrontends: [{name: dockerfile, match: "+
			"[docker/dockerfile]}]\n",
	)
	_, err := s.NewContainer(t.Context(), &gwpb.NewContainerRequest{ContainerID: "c"})
	s.requireRefused(t, err, "container")
}

func TestOlderFrontendsGetReferencesInTheirForm(t *testing.T) {
	t.Parallel()
	one := &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "a"}}}
	withoutDefinitions(one)
	require.Equal(t, "a", one.GetRefDeprecated())
	many := &gwpb.Result{
		Result: &gwpb.Result_Refs{
			Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{"x": {Id: "a"}, "y": {Id: "b"}}},
		},
	}
	withoutDefinitions(many)
	require.Equal(t, map[string]string{"x": "a", "y": "b"}, many.GetRefsDeprecated().GetRefs())
}
