package frontend

import (
	"context"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// fakeBridge is a daemon whose inner frontend returns a result. It solves each definition to a new
// reference whose name contains the definition.
type fakeBridge struct {
	gwpb.LLBBridgeClient
	inner  *gwpb.Result
	solved []*gwpb.SolveRequest
}

func (f *fakeBridge) Solve(
	_ context.Context, req *gwpb.SolveRequest, _ ...grpc.CallOption,
) (*gwpb.SolveResponse, error) {
	f.solved = append(f.solved, req)
	if req.Frontend != "" {
		return &gwpb.SolveResponse{Result: f.inner}, nil
	}
	again := &gwpb.Ref{Id: "solved again: " + string(req.Definition.Def[0]), Def: req.Definition}
	return &gwpb.SolveResponse{Result: &gwpb.Result{Result: &gwpb.Result_Ref{Ref: again}}}, nil
}

func refOf(t *testing.T, id, image string) *gwpb.Ref {
	t.Helper()
	return &gwpb.Ref{Id: id, Def: marshalState(t, llb.Image(image, at(1)))}
}

// forwarded has a frontend return inner. opt is a key and a value of the client's options.
func forwarded(
	t *testing.T, doc string, inner *gwpb.Result, opt ...string,
) (*fakeBridge, *monitor, error) {
	t.Helper()
	opts := map[string]string{"cache-from": "corp/cache"}
	if len(opt) == 2 {
		opts[opt[0]] = opt[1]
	}
	c := newFake(t, "", opts)
	m := monitorOf(t, c, doc)
	daemon := &fakeBridge{inner: inner}
	m.build.bridge = &bridge{LLBBridgeClient: daemon}
	_, err := m.build.forward(context.Background(), m.inner, m)
	return daemon, m, err
}

func TestAForwardedResultIsSolvedAgainUnderAGuard(t *testing.T) {
	t.Parallel()
	one, two := refOf(t, "one", "mirror.corp/a:1"), refOf(t, "two", "mirror.corp/b:1")
	config := []byte(`{"config":{"User":"app"}}`)
	inner := &gwpb.Result{
		Result: &gwpb.Result_Refs{
			Refs: &gwpb.RefMap{
				Refs: map[string]*gwpb.Ref{"linux/amd64": one, "linux/arm64": two, "empty": {}},
			},
		},
		Metadata: map[string][]byte{
			"containerimage.config/linux/amd64": config,
			"containerimage.config/linux/arm64": config,
			"refs.platforms": []byte(
				`{"Platforms":[{"ID":"linux/amd64"},{"ID":"linux/arm64"}]}`,
			),
		},
		Attestations: map[string]*gwpb.Attestations{
			"linux/amd64": {Attestation: []*gwpb.Attestation{
				{Ref: refOf(t, "scan", "mirror.corp/scanner:1")}, {},
			}},
		},
	}
	daemon, m, err := forwarded(t, mirrorOnly, inner)
	require.NoError(t, err)
	require.Len(t, daemon.solved, 4)
	require.Equal(t, "gateway.v0", daemon.solved[0].Frontend)
	require.Equal(
		t, "docker-image://docker.io/docker/dockerfile:1@"+digestOne.String(),
		daemon.solved[0].FrontendOpt["context:"+daemon.solved[0].FrontendOpt["source"]],
	)
	for _, req := range daemon.solved[1:] {
		require.NotEmpty(t, req.SourcePolicies)
		require.False(t, req.Evaluate)
		require.Equal(t, "corp/cache", req.CacheImports[0].Attrs["ref"])
	}
	got := m.build.bridge.result.Load()
	refs := got.GetRefs().GetRefs()
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		ref := refs[platform]
		require.Equal(t, "solved again: "+string(ref.Def.Def[0]), ref.Id)
	}
	require.Empty(t, refs["empty"].Id)
	require.Contains(t, got.Attestations["linux/amd64"].Attestation[0].Ref.Id, "solved again: ")
	require.Equal(t, config, got.Metadata["containerimage.config/linux/amd64"])
}

func TestAReferenceThatOccursTwiceIsSolvedOnce(t *testing.T) {
	t.Parallel()
	shared := refOf(t, "one", "mirror.corp/a:1")
	inner := &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: refOf(t, "one", "mirror.corp/a:1")},
		Metadata: map[string][]byte{
			"containerimage.config": []byte(`{"config":{"User":"app"}}`),
		},
		Attestations: map[string]*gwpb.Attestations{
			"": {Attestation: []*gwpb.Attestation{{Ref: shared}}},
		},
	}
	daemon, m, err := forwarded(t, mirrorOnly, inner)
	require.NoError(t, err)
	require.Len(t, daemon.solved, 2)
	require.Equal(t, m.build.bridge.result.Load().GetRef().Id, shared.Id)
}

func TestAForwardedResultIsRefused(t *testing.T) {
	t.Parallel()
	good := func() *gwpb.Ref { return refOf(t, "good", "mirror.corp/a:1") }
	evil := refOf(t, "evil", "evil.corp/a:1")
	single := func(ref *gwpb.Ref) *gwpb.Result {
		return &gwpb.Result{Result: &gwpb.Result_Ref{Ref: ref}}
	}
	buildOp := &gwpb.Ref{Id: "op", Def: &pb.Definition{}}
	dt, err := (&pb.Op{Op: &pb.Op_Build{Build: &pb.BuildOp{}}}).Marshal()
	require.NoError(t, err)
	buildOp.Def.Def = [][]byte{dt}
	for name, tc := range map[string]struct {
		inner *gwpb.Result
		want  string
	}{
		"for its base image": {
			single(evil),
			`dockerfile: rule "dockerfile" refuses the image evil.corp/a:1: it allows only ` +
				`mirror.corp/** (build.images.allow)`,
		},
		"for the base image of one platform": {
			&gwpb.Result{
				Result: &gwpb.Result_Refs{
					Refs: &gwpb.RefMap{
						Refs: map[string]*gwpb.Ref{"linux/amd64": good(), "linux/arm64": evil},
					},
				},
			},
			`dockerfile: rule "dockerfile" refuses the image evil.corp/a:1: it allows only ` +
				`mirror.corp/** (build.images.allow)`,
		},
		"for what an attestation is made of": {
			&gwpb.Result{
				Result: &gwpb.Result_Ref{Ref: good()},
				Attestations: map[string]*gwpb.Attestations{
					"": {Attestation: []*gwpb.Attestation{{Ref: evil}}},
				},
			},
			`dockerfile: rule "dockerfile" refuses the image evil.corp/a:1: it allows only ` +
				`mirror.corp/** (build.images.allow)`,
		},
		"for the configuration of its image": {
			single(good()),
			`dockerfile: rule "dockerfile" refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"for LLB that is made while it builds": {
			single(buildOp),
			"invariant: it asks for a build of LLB that is made during the build (BuildOp), " +
				"which no rule can allow",
		},
		"for a definition that isn't there": {
			single(&gwpb.Ref{Id: "x"}),
			"invariant: it asks for a result whose definition the daemon doesn't supply, which " +
				"no rule can allow",
		},
		"for a form that isn't known": {
			&gwpb.Result{Result: &gwpb.Result_RefDeprecated{RefDeprecated: "x"}},
			"invariant: it asks for a result in a form that this version doesn't know, which no " +
				"rule can allow",
		},
		"for being nothing": {
			nil,
			"invariant: it asks for a result in a form that this version doesn't know, which no " +
				"rule can allow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, m, err := forwarded(t, mirrorOnly, tc.inner)
			requireRefusal(t, err, tc.want)
			require.Nil(t, m.build.bridge.result.Load())
		})
	}
}

// Nothing is solved a second time if there is no guard.
func TestAResultUnderRulesOnCommandsAloneKeepsItsReferences(t *testing.T) {
	t.Parallel()
	daemon, m, err := forwarded(
		t,
		"version: 1\nfrontends: [{match: [docker/dockerfile], build: {exec: {networks: "+
			"[none]}}}]\n",
		&gwpb.Result{Result: &gwpb.Result_Ref{Ref: refOf(t, "one", "evil.corp/a:1")}},
	)
	require.NoError(t, err)
	require.Len(t, daemon.solved, 1)
	require.Equal(t, "one", m.build.bridge.result.Load().GetRef().Id)
}

func TestAForwardedSubrequestHasNothingToCheck(t *testing.T) {
	t.Parallel()
	inner := &gwpb.Result{
		Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{}},
		Metadata: map[string][]byte{"result.txt": []byte("x")},
	}
	_, m, err := forwarded(t, mirrorOnly, inner, "requestid", "frontend.outline")
	require.NoError(t, err)
	require.Equal(t, inner, m.build.bridge.result.Load())
}
