package guard

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// begun starts alice's build "b", and returns the gateway API as she sees it.
func begun(t *testing.T) (*fakeDaemon, *Guard, gwpb.LLBBridgeClient, context.Context) {
	t.Helper()
	return begunUnder(t, forwarding)
}

func begunUnder(
	t *testing.T, policy string,
) (*fakeDaemon, *Guard, gwpb.LLBBridgeClient, context.Context) {
	t.Helper()
	d, g := newDaemonFor(t, policy, "")
	c, ctx := begunBefore(t, d, g)
	return d, g, c, ctx
}

// begunBefore is begun for a guard that runs.
func begunBefore(t *testing.T, d *fakeDaemon, g *Guard) (gwpb.LLBBridgeClient, context.Context) {
	t.Helper()
	return begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b", Session: "s1"})
}

// begunAs is begunBefore for a request that begins the build "b".
func begunAs(
	t *testing.T, d *fakeDaemon, g *Guard, req *controlapi.SolveRequest,
) (gwpb.LLBBridgeClient, context.Context) {
	t.Helper()
	conn := as(t, g, "alice")
	ctx, cancel := context.WithCancel(of(t))
	t.Cleanup(cancel)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, req)
	}()
	d.await(t, "Control/Solve")
	return gwpb.NewLLBBridgeClient(conn), of(t, buildIDHeader, "b")
}

func asking(source string, pairs ...string) *gwpb.SolveRequest {
	opts := map[string]string{"source": source}
	for i := 0; i < len(pairs); i += 2 {
		opts[pairs[i]] = pairs[i+1]
	}
	return &gwpb.SolveRequest{
		Frontend: "gateway.v0", FrontendOpt: opts,
		AllowResultReturn: true, AllowResultArrayRef: true,
	}
}

func TestTheDaemonRunsWhatWasDecided(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	req := asking("docker/dockerfile:1", "target", "x", optionkeys.CacheMounts, "mine")
	req.Evaluate = true
	req.SourcePolicies = []*spb.Policy{{}}
	resp, err := c.Solve(ctx, req)
	require.NoError(t, err)
	require.Equal(t, "result", resp.Result.GetRef().Id)
	require.Contains(t, string(resp.Result.Metadata[frontend.MetadataKey]), `"verdict":"allow"`)

	var run *gwpb.SolveRequest
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Frontend != "" {
			require.Nil(t, run, "it runs once")
			run = r
			client, own := g.names.clientRef("alice", call.headers.Get(buildIDHeader)[0])
			require.True(t, own && client == "b")
		}
	}
	require.Equal(t, map[string]string{
		"source":  "docker.io/docker/dockerfile:1@" + fakeDigest,
		"cmdline": "docker/dockerfile:1", "target": "x",
		optionkeys.CacheMounts: g.names.cacheMounts("alice"),
	}, run.FrontendOpt)
	require.False(t, run.Evaluate)
	require.Empty(t, run.SourcePolicies)
	evaluated := d.last(t)
	require.Equal(t, "result", evaluated.request.(*gwpb.EvaluateRequest).Ref)

	// The same again is allowed, another one isn't.
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	_, err = c.Solve(ctx, asking("docker/dockerfile:2"))
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "has a frontend already")
}

func TestWhatAClientMayNotAskOfTheDaemon(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	with := func(f func(*gwpb.SolveRequest)) *gwpb.SolveRequest {
		r := asking("docker/dockerfile:1")
		f(r)
		return r
	}
	const image = "docker/dockerfile:1"
	for name, tc := range map[string]struct {
		req *gwpb.SolveRequest
		why string
	}{
		"a frontend that no rule allows": {asking("evil/frontend:1"), "no rule allows evil/frontend:1"},
		"LLB and a frontend": {
			with(func(r *gwpb.SolveRequest) { r.Definition = &pb.Definition{} }), "has both",
		},
		"LLB and options": {
			with(func(r *gwpb.SolveRequest) { r.Frontend, r.Definition = "", &pb.Definition{} }),
			"has both",
		},
		"LLB as an input": {
			with(func(r *gwpb.SolveRequest) {
				r.FrontendInputs = map[string]*pb.Definition{"x": clientsLLB(t)}
			}), "the frontend input x isn't what a build of this client has returned",
		},
		"an input that can't be read": {
			with(func(r *gwpb.SolveRequest) {
				r.FrontendInputs = map[string]*pb.Definition{"x": {Def: [][]byte{{0xff}}}}
			}), "the frontend input x can't be read: it has an operation",
		},
		"a final result": {
			with(func(r *gwpb.SolveRequest) { r.Final = true }), "sets Final",
		},
		"attributes of a final result": {
			with(func(r *gwpb.SolveRequest) { r.ExporterAttr = []byte("{}") }), "sets ExporterAttr",
		},
		"an imported cache": {
			with(func(r *gwpb.SolveRequest) {
				r.CacheImports = []*gwpb.CacheOptionsEntry{{Type: "s3"}}
			}), "of the type s3",
		},
		"an imported cache by an option":     {asking(image, "cache-imports", `[{"Type":"gha"}]`), "the type gha"},
		"an imported cache by an old option": {asking(image, "cache-from", "x"), "docker.io/library/x"},
		"an old form of results": {
			with(func(r *gwpb.SolveRequest) { r.AllowResultArrayRef = false }), "obsolete form",
		},
		"an unknown frontend": {
			with(func(r *gwpb.SolveRequest) { r.Frontend = "future.v0" }), "the frontend future.v0",
		},
		"a control group":   {asking(image, "cgroup-parent", "/"), "cgroup-parent"},
		"devices":           {asking(image, "device", "x"), "device"},
		"a key with =":      {asking(image, "a=source", "evil"), "would reach the frontend"},
		"a value with NUL":  {asking(image, "a", "\x00"), "would reach the frontend"},
		"another's session": {asking(image, "local-sessionid:context", "bobs"), "another client"},
		"another's session by its other name": {
			asking(image, "local-sessionid:context", "x:bobs"), "other characters",
		},
		"an SBOM":                 {asking(image, "attest:sbom", "generator=x"), "(sbom.generators)"},
		"a builder of the client": {asking(image, "attest:provenance", "builder-id=x"), "builder-id"},
	} {
		_, err := c.Solve(ctx, tc.req)
		require.ErrorContains(t, err, tc.why, name)
	}
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.SolveRequest); ok {
			require.Empty(t, r.Frontend, "a frontend ran")
		}
	}
}

// clientsLLB is a definition that a client made.
func clientsLLB(t *testing.T) *pb.Definition {
	t.Helper()
	def, err := llb.Image("busybox").Run(llb.Shlex("true")).Root().Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	return def.ToPB()
}

func TestABuildOnTheResultOfAnother(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	d.result = clientsLLB(t)
	resp, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	// As buildx does it for a linked target.
	op, err := llb.NewDefinitionOp(resp.Result.GetRef().Def)
	require.NoError(t, err)
	input, err := llb.NewState(op).Marshal(t.Context())
	require.NoError(t, err)
	linked := asking("docker/dockerfile:1", "context:base", "input:base")
	linked.FrontendInputs = map[string]*pb.Definition{"base": input.ToPB()}
	_, err = c.Solve(ctx, linked)
	require.NoError(t, err)
	runs := frontendRuns(d)
	require.Equal(t, d.result.Def, runs[1].FrontendInputs["base"].Def)

	// It is nobody else's, and nothing else.
	forged := input.ToPB()
	forged.Metadata[digest.FromBytes(forged.Def[1]).String()].IgnoreCache = true
	linked.FrontendInputs["base"] = forged
	_, err = c.Solve(ctx, linked)
	require.ErrorContains(t, err, "isn't what a build of this client has returned")
	linked.FrontendInputs["base"] = input.ToPB()
	bob := as(t, g, "bob")
	go func() {
		_, _ = controlapi.NewControlClient(bob).Solve(ctx, &controlapi.SolveRequest{Ref: "b"})
	}()
	_, err = gwpb.NewLLBBridgeClient(bob).Solve(ctx, linked)
	require.ErrorContains(t, err, "isn't what a build of this client has returned")
	require.Len(t, frontendRuns(d), 2)
}

func TestAClientReturnsOnlyWhatAFrontendReturned(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begun(t)
	resp, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	good := func() *gwpb.Result {
		return &gwpb.Result{
			Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "result", Def: resp.Result.GetRef().Def}},
			Metadata: maps.Clone(resp.Result.Metadata),
		}
	}
	with := func(f func(*gwpb.Result)) *gwpb.ReturnRequest {
		r := good()
		f(r)
		return &gwpb.ReturnRequest{Result: r}
	}
	for name, req := range map[string]*gwpb.ReturnRequest{
		"nothing":            {},
		"a result and error": {Result: good(), Error: &statuspb.Status{Code: 1}},
		"another configuration": with(func(r *gwpb.Result) {
			r.Metadata["containerimage.config"] = []byte("{}")
		}),
		"a changed decision": with(func(r *gwpb.Result) {
			r.Metadata[frontend.MetadataKey] = []byte("{}")
		}),
		"less metadata": with(func(r *gwpb.Result) { delete(r.Metadata, "a") }),
		"the guard's reference": with(func(r *gwpb.Result) {
			r.Result = &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "own"}}
		}),
		"several references": with(func(r *gwpb.Result) {
			r.Result = &gwpb.Result_Refs{Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{
				"x": {Id: "result"},
			}}}
		}),
		"an old form": with(func(r *gwpb.Result) {
			r.Result = &gwpb.Result_RefDeprecated{RefDeprecated: "result"}
		}),
		"attestations": with(func(r *gwpb.Result) {
			r.Attestations = map[string]*gwpb.Attestations{"x": {
				Attestation: []*gwpb.Attestation{{Kind: gwpb.AttestationKind_Bundle}},
			}}
		}),
		"an attestation of an unknown kind": with(func(r *gwpb.Result) {
			r.Attestations = map[string]*gwpb.Attestations{"x": {
				Attestation: []*gwpb.Attestation{{Kind: 7}},
			}}
		}),
		"metadata of an empty result": {Result: &gwpb.Result{
			Result:   &gwpb.Result_Ref{Ref: &gwpb.Ref{}},
			Metadata: map[string][]byte{"containerimage.config": []byte("{}")},
		}},
	} {
		_, err := c.Return(ctx, req)
		require.Error(t, err, name)
		requireCode(t, codes.PermissionDenied, err)
	}
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: good()})
	require.NoError(t, err)
	require.Nil(t, d.last(t).request.(*gwpb.ReturnRequest).Result.GetRef().Def)
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: empty})
	require.NoError(t, err)
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Error: &statuspb.Status{Code: 2, Message: "x"}})
	require.NoError(t, err)
}

func TestAClientReadsOnlyItsOwnReferences(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	got, err := c.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: "result", FilePath: "x"})
	require.NoError(t, err)
	require.NotEmpty(t, got.Data)
	for name, req := range map[string]*gwpb.ReadFileRequest{
		"the guard's own": {Ref: "own"}, "none": {}, "an unknown one": {Ref: "x"},
		"a mount of a container": {Ref: "result", MountIndex: 1},
	} {
		_, err := c.ReadFile(ctx, req)
		require.Error(t, err, name)
		requireCode(t, codes.PermissionDenied, err)
	}
	before := len(d.all())
	bob := gwpb.NewLLBBridgeClient(as(t, g, "bob"))
	_, err = bob.ReadFile(of(t, buildIDHeader, "b"), &gwpb.ReadFileRequest{Ref: "result"})
	requireCode(t, codes.PermissionDenied, err)
	require.Len(t, d.all(), before)
}

// asker returns what the daemon is told about a source in alice's build "b": "" if it may read it.
func asker(ctx context.Context, t *testing.T, g *Guard) (*build, func(string, ...string) string) {
	t.Helper()
	ref, err := g.names.ref("alice", "b")
	require.NoError(t, err)
	b, err := g.builds.find(ctx, ref)
	require.NoError(t, err)
	return b, func(id string, attrs ...string) string { return askIn(ctx, t, b, id, attrs...) }
}

// askIn asks about a source in a build, as asker says. attrs are names and values.
func askIn(ctx context.Context, t *testing.T, b *build, id string, attrs ...string) string {
	t.Helper()
	op := &pb.SourceOp{Identifier: id, Attrs: map[string]string{}}
	for i := 0; i < len(attrs); i += 2 {
		op.Attrs[attrs[i]] = attrs[i+1]
	}
	d, req, err := b.answer(ctx, &policysession.CheckPolicyRequest{
		Source: &gwpb.ResolveSourceMetaResponse{Source: op},
	})
	require.NoError(t, err)
	require.Nil(t, req)
	switch d.Action {
	case spb.PolicyAction_ALLOW:
		return ""
	case spb.PolicyAction_CONVERT:
		require.Equal(t, id, d.Update.Identifier)
		return "from " + d.Update.Attrs[llbops.SessionAttr(op)] + " " + d.Update.Attrs["kept"]
	}
	require.Equal(t, spb.PolicyAction_DENY, d.Action)
	return d.DenyMessages[0].Message
}

func TestTheAnswersToTheDaemonsQuestions(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	_, ask := asker(ctx, t, g)
	const pinned = "docker-image://docker.io/docker/dockerfile:1@" + fakeDigest
	const kind = pb.AttrImageRecordType
	require.Contains(t, ask("local://context"), "no frontend was allowed")
	require.Contains(t, ask(pinned, kind, "frontend"), "no frontend was allowed")
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Empty(t, ask(pinned, kind, "frontend"))
	require.Empty(t, ask("docker-image://docker.io/library/busybox:latest"))
	require.Empty(t, ask("local://context", pb.AttrLocalSessionID, "s1"))
	require.Empty(t, ask("local://context", pb.AttrLocalSessionID, "context:s1"))
	for _, session := range []string{"bobs", "x:bobs", "nobodys", policySession(t, d)} {
		require.Contains(t, ask("local://context", pb.AttrLocalSessionID, session), "another client")
		require.Contains(t, ask("oci-layout://x", pb.AttrOCILayoutSessionID, session), "another client")
	}
	for _, id := range []string{"local://context", "oci-layout://x@y", "oci-layout+blob://x@y"} {
		require.Equal(t, "from s1 k", ask(id, "kept", "k"), "no other session is read")
	}
	require.Contains(t, ask("docker-image://docker.io/evil/x:1", kind, "frontend"), "it would run")
	require.Contains(t, ask(strings.TrimSuffix(pinned, "@"+fakeDigest), kind, "frontend"),
		"it would run")
}

// While the guard finds out which frontend is meant, it reads the build file and looks up the
// frontend's image, and nobody else reads anything.
func TestBeforeADecisionOnlyTheGuardReads(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	b, ask := asker(ctx, t, g)
	own := map[string]string{}
	d.asks = func(source *pb.SourceOp) {
		if b.chosen() != nil {
			return
		}
		var attrs []string
		for key, value := range source.Attrs {
			attrs = append(attrs, key, value)
		}
		own[source.Identifier] = ask(source.Identifier, attrs...)
		for _, other := range []string{
			"local://other", "docker-image://docker.io/evil/frontend:1", "https://evil.example/a",
		} {
			require.Contains(t, ask(other), "no frontend was allowed")
		}
		if strings.HasPrefix(source.Identifier, "docker-image://") {
			require.Contains(t, ask(source.Identifier, append(attrs, pb.AttrImageLayerLimit, "1")...),
				"no frontend was allowed")
		}
	}
	_, err := c.Solve(ctx, &gwpb.SolveRequest{
		Frontend: "dockerfile.v0", AllowResultReturn: true, AllowResultArrayRef: true,
	})
	require.NoError(t, err)
	const image = "docker-image://docker.io/docker/dockerfile:1"
	require.Equal(t, map[string]string{
		"local://dockerfile": "", image: "",
	}, own)
	require.Empty(t, b.reading)
	b.choice = nil
	require.Contains(t, ask("local://dockerfile"), "no frontend was allowed")
}

// A client asks for a build, and makes calls about it at the same time. It shows what fails first.
func TestCallsAboutARefusedBuildHaveItsError(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	g.builds.early = time.Hour
	conn := as(t, g, "alice")
	ping := func() error {
		_, err := gwpb.NewLLBBridgeClient(conn).Ping(of(t, buildIDHeader, "b"), &gwpb.PingRequest{})
		return err
	}
	waits := make(chan error, 1)
	go func() { waits <- ping() }()
	waiting := func() bool {
		g.builds.mu.Lock()
		defer g.builds.mu.Unlock()
		return len(g.builds.wait) > 0
	}
	require.Eventually(t, waiting, soon, time.Millisecond)

	solve := func(entitlements ...string) error {
		_, err := controlapi.NewControlClient(conn).Solve(t.Context(), &controlapi.SolveRequest{
			Ref: "b", Cache: &controlapi.CacheOptions{}, Entitlements: entitlements,
		})
		return err
	}
	refusal := solve("network.host")
	require.ErrorContains(t, refusal, "the policy refuses the entitlement")
	require.Equal(t, refusal.Error(), (<-waits).Error(), "a call that waited")
	require.Equal(t, refusal.Error(), ping().Error(), "a call that came later")
	require.Empty(t, d.all())

	// The same id can be that of another build.
	go func() { _ = solve() }()
	require.Eventually(t, func() bool { return ping() == nil }, soon, time.Millisecond)
}

func TestACallAboutNoBuildFails(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := gwpb.NewLLBBridgeClient(as(t, g, "alice"))
	start := time.Now()
	_, err := c.Solve(of(t, buildIDHeader, "b"), asking("docker/dockerfile:1"))
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "no such build")
	require.Greater(t, time.Since(start), early-time.Second)
	require.Empty(t, d.all())
}
