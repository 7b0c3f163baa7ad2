package guard

import (
	"errors"
	"strings"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

const (
	mediating   = forwarding + "dispatch: mediate\n"
	policyImage = "registry.corp/policy-frontend:v1"
	keepsPolicy = `{"config": {"Labels": {"` + frontend.LabelHandOver + `": "1"}}}`
)

// frontendRuns returns the requests for frontends that reached the daemon.
func frontendRuns(d *fakeDaemon) (runs []*gwpb.SolveRequest) {
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Frontend != "" {
			runs = append(runs, r)
		}
	}
	return runs
}

func TestThePolicyImageMediates(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, mediating, policyImage)
	d.imageConfig = keepsPolicy
	d.metadata = map[string][]byte{frontend.MetadataKey: []byte("the image's")}
	c, ctx := begunBefore(t, d, g)
	req := asking("docker/dockerfile:1", "target", "x")
	req.Evaluate = true
	resp, err := c.Solve(ctx, req)
	require.NoError(t, err)
	require.Equal(t, "the image's", string(resp.Result.Metadata[frontend.MetadataKey]))

	runs := frontendRuns(d)
	require.Len(t, runs, 1)
	require.Equal(t, "gateway.v0", runs[0].Frontend)
	require.False(t, runs[0].Evaluate)
	opts := runs[0].FrontendOpt
	handed, err := gatewayopts.Parse(opts).HandOver()
	require.NoError(t, err)
	require.Equal(t, &gatewayopts.HandOver{
		Policy: "policy.yaml", Files: map[string]string{"policy.yaml": mediating},
		Frontend:    "docker.io/docker/dockerfile:1@" + fakeDigest,
		CacheMounts: g.names.cacheMounts("alice"),
	}, handed)
	require.Equal(t, policyImage+"@"+fakeDigest, opts["source"])
	require.Equal(t, opts["source"]+" docker/dockerfile:1", opts["cmdline"])
	require.Equal(t, "x", opts["target"])
	require.Equal(t, "result", d.last(t).request.(*gwpb.EvaluateRequest).Ref)
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: resp.Result})
	require.NoError(t, err)
}

func TestWhatTheGuardDoesNotHandOver(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		image, config string
		req           *gwpb.SolveRequest
		why           string
	}{
		"a build without an image for it": {
			config: keepsPolicy, req: asking("docker/dockerfile:1"), why: "start it with --image",
		},
		"a build to an image that would ignore the policy": {
			image: policyImage, config: "{}", req: asking("docker/dockerfile:1"),
			why: "would ignore its policy",
		},
		"a refused frontend": {
			image: policyImage, config: keepsPolicy, req: asking("evil/frontend:1"),
			why: "no rule allows evil/frontend:1",
		},
		"a piece by the client": {
			image: policyImage, config: keepsPolicy, why: "is policy-guard's own",
			req: asking("docker/dockerfile:1", optionkeys.HandOverPiece+"0", "{}"),
		},
		"a digest by the client, in another letter case": {
			image: policyImage, config: keepsPolicy, why: "is policy-guard's own",
			req: asking("docker/dockerfile:1", strings.ToLower(optionkeys.HandOverDigest), "x"),
		},
		"a piece by the client in the key of another option": {
			image: policyImage, config: keepsPolicy, why: "would reach the frontend",
			req: asking("docker/dockerfile:1", optionkeys.HandOverPiece+"0={}", "x"),
		},
		"the policy image": {
			image: policyImage, config: keepsPolicy, req: asking(policyImage), why: "to run itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, mediating, tc.image)
			d.imageConfig = tc.config
			c, ctx := begunBefore(t, d, g)
			_, err := c.Solve(ctx, tc.req)
			require.ErrorContains(t, err, tc.why)
			require.Empty(t, frontendRuns(d))
		})
	}
}

func TestAnImageHasToReportTheDecision(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, mediating, policyImage)
	d.imageConfig = keepsPolicy
	c, ctx := begunBefore(t, d, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.ErrorContains(t, err, "reported no decision")
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "result"}},
	}})
	requireCode(t, codes.PermissionDenied, err)
}

func TestTheImageIsAReference(t *testing.T) {
	t.Parallel()
	_, err := New(nil, Options{Image: "not a reference"})
	require.ErrorContains(t, err, "the image: ")
}

func TestARefusalByTheImageIsLogged(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, mediating, policyImage)
	d.imageConfig = keepsPolicy
	log, text := textLog()
	g.log = log
	d.frontendFails = policysession.WrapDenyMessages(errors.New("refused"),
		[]*policysession.DenyMessage{
			{Message: "the rules\nrefuse x"}, {Message: sourceDenied + "which is logged already"},
		})
	c, ctx := begunBefore(t, d, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.Len(t, policysession.DenyMessages(grpcerrors.FromGRPC(err)), 2)
	require.Equal(t, 1, strings.Count(text.String(), "msg=refused"))
	require.Contains(t, text.String(), "client=alice what="+bridge+"Solve")
	require.Contains(t, text.String(), `why="the rules refuse x"`)
}
