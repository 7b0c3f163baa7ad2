package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

const llbPolicy = forwarding + `llb: allow
build: {images: {allow: ["corp.example/**"]}, exec: {networks: [none]}}
`

func definition(t *testing.T, state llb.State) *pb.Definition {
	t.Helper()
	def, err := state.Marshal(t.Context())
	require.NoError(t, err)
	return def.ToPB()
}

// command is a definition with a command on an image.
func command(t *testing.T, image string) *pb.Definition {
	t.Helper()
	return definition(t, llb.Image(image).Run(llb.Shlex("true"), llb.Network(pb.NetMode_NONE)).Root())
}

func solving(def *pb.Definition) *gwpb.SolveRequest {
	return &gwpb.SolveRequest{
		Definition: def, AllowResultReturn: true, AllowResultArrayRef: true,
	}
}

// definitions returns the definitions that reached the daemon.
func (d *fakeDaemon) definitions() []*gwpb.SolveRequest {
	var found []*gwpb.SolveRequest
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Definition != nil {
			found = append(found, r)
		}
	}
	return found
}

func TestLLBThatNoFrontendMade(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy string
		def    *pb.Definition
		why    string // "" if it is allowed
	}{
		"a command, by default": {
			forwarding, command(t, "corp.example/base:1"), "LLB that no frontend made is refused",
		},
		"a command where LLB is allowed": {llbPolicy, command(t, "corp.example/base:1"), ""},
		"an image that no rule allows": {
			llbPolicy, command(t, "evil.example/base:1"), "the image evil.example/base:1",
		},
		"a command that no rule allows": {
			llbPolicy, definition(t, llb.Image("corp.example/base:1").Run(llb.Shlex("true")).Root()),
			"with the network default",
		},
		"a repository alone, by default": {
			forwarding, definition(t, llb.Git("https://x.example/a.git", "main")), "",
		},
		"an image alone that no rule allows": {
			llbPolicy, definition(t, llb.Image("evil.example/base:1")), "the image evil.example/base:1",
		},
		"nothing at all": {forwarding, &pb.Definition{}, ""},
	} {
		t.Run("by LLBBridge.Solve: "+name, func(t *testing.T) {
			t.Parallel()
			d, _, c, ctx := begunUnder(t, tc.policy)
			req := solving(tc.def.CloneVT())
			deny := &spb.Policy{Rules: []*spb.Rule{{Action: spb.PolicyAction_DENY}}}
			req.SourcePolicies = []*spb.Policy{deny}
			resp, err := c.Solve(ctx, req)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Empty(t, d.definitions())
				return
			}
			require.NoError(t, err)
			if len(tc.def.Def) == 0 {
				require.Empty(t, d.definitions())
				return
			}
			require.Len(t, d.definitions(), 1)
			sent := d.definitions()[0]
			require.Equal(t, tc.def.Def, sent.Definition.Def, "the same bytes")
			require.True(t, deny.EqualVT(sent.SourcePolicies[0]), "the client's own policy holds too")
			_, err = c.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: resp.Result.GetRef().Id, FilePath: "x"})
			require.NoError(t, err)
			_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: resp.Result})
			require.NoError(t, err)
		})
		t.Run("by Control.Solve: "+name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, "")
			d.ends = true
			_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
				&controlapi.SolveRequest{Ref: "b", Session: "s1", Definition: tc.def})
			solve := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
			require.Nil(t, solve.Definition, "the build begins empty")
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Empty(t, d.definitions())
				return
			}
			require.NoError(t, err)
			ret := d.await(t, "Return").request.(*gwpb.ReturnRequest)
			require.Equal(t, len(tc.def.Def) > 0, ret.Result.GetRef().Id == "own")
		})
	}
}

func TestWhatADefinitionMayNotHave(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begunUnder(t, llbPolicy)
	for why, change := range map[string]func(*gwpb.SolveRequest){
		"converts sources": func(r *gwpb.SolveRequest) {
			r.SourcePolicies = []*spb.Policy{{Rules: []*spb.Rule{{Action: spb.PolicyAction_CONVERT}}}}
		},
		"importing a build cache of the type s3": func(r *gwpb.SolveRequest) {
			r.CacheImports = []*gwpb.CacheOptionsEntry{{Type: "s3"}}
		},
		"has both": func(r *gwpb.SolveRequest) { r.FrontendOpt = map[string]string{"a": "b"} },
		"both a definition": func(r *gwpb.SolveRequest) {
			r.FrontendInputs = map[string]*pb.Definition{"a": {}}
		},
	} {
		req := solving(command(t, "corp.example/base:1"))
		change(req)
		_, err := c.Solve(ctx, req)
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, why)
	}
	require.Empty(t, d.definitions())
}

// The daemon's questions don't say whether a frontend or the client wants a source.
func TestABuildHasEitherAFrontendOrLLBOfItsOwn(t *testing.T) {
	t.Parallel()
	def := command(t, "corp.example/base:1")
	_, g, c, ctx := begunUnder(t, forwarding+"llb: allow\n")
	_, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, solving(def))
	require.NoError(t, err)
	_, err = c.Solve(ctx, solving(def))
	require.NoError(t, err)
	require.Empty(t, ask("docker-image://corp.example/base:1"))
	require.Contains(t, ask("docker-image://corp.example/base:1", pb.AttrImageRecordType, "frontend"),
		"the client asked for no frontend")
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "begin another build for a frontend")

	_, _, c, ctx = begunUnder(t, forwarding+"llb: allow\n")
	_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	_, err = c.Solve(ctx, solving(def))
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "has a frontend already")
}

func TestTheSourcesOfLLBAreJudgedWhenTheDaemonAsks(t *testing.T) {
	t.Parallel()
	_, g, c, ctx := begunUnder(t, llbPolicy)
	_, ask := asker(ctx, t, g)
	require.Contains(t, ask("docker-image://corp.example/base:1"), "no frontend was allowed")
	_, err := c.Solve(ctx, solving(command(t, "corp.example/base:1")))
	require.NoError(t, err)
	require.Empty(t, ask("docker-image://corp.example/base:1"))
	require.Contains(t, ask("docker-image://evil.example/base:1"), "the image evil.example/base:1")
	require.Equal(t, "from s1 ", ask("local://context"))
}

// tagRules let clients send LLB. A rule on tags is about images with digests.
const tagRules = forwarding + `llb: allow
build:
  images:
    rules: [{name: bases, match: ["corp.example/**"], tags: ["1"]}]
    requireDigest: true
`

// The guard looks up the tag of an image with a digest while the daemon waits for an answer. The
// daemon asks about the tag too, and nobody else may read it.
func TestTheTagThatAnAnswerNeedsIsLookedUp(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begunUnder(t, tagRules)
	_, ask := asker(ctx, t, g)
	const tag = "docker-image://corp.example/base:1"
	asked := map[string]string{}
	d.asks = func(source *pb.SourceOp) { asked[source.Identifier] = ask(source.Identifier) }
	_, err := c.Solve(ctx, solving(command(t, "corp.example/base:1@"+fakeDigest)))
	require.NoError(t, err)
	require.Equal(t, map[string]string{tag: "", tag + "@" + fakeDigest: ""}, asked)
	require.Contains(t, ask(tag), "without a digest")
	other := strings.Replace(fakeDigest, "1", "2", 1)
	require.Contains(t, ask(tag+"@"+other), "corp.example/base:1")
}

// The guard asks the daemon for a tag before it answers, and the daemon doesn't answer that.
func TestAnAnswerThatTakesTooLongIsNo(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begunUnder(t, tagRules)
	b, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, solving(command(t, "corp.example/base:1@"+fakeDigest)))
	require.NoError(t, err)
	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	d.asks = func(*pb.SourceOp) { <-held }
	b.guard.answerTimeout = time.Millisecond
	require.Equal(t, "policy-guard: it could not be judged within 1ms",
		ask("docker-image://corp.example/other:1@"+fakeDigest))
}

func TestAnAnswerForWhichTheDaemonDoesNotWaitIsNo(t *testing.T) {
	t.Parallel()
	_, g, c, ctx := begun(t)
	b, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Empty(t, ask("https://x.example/a"))
	late, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("it took too long"))
	require.Equal(t, "policy-guard: it took too long", askIn(late, t, b, "https://x.example/a"))
}

// Some programs ask for nothing, and so for an empty result.
func TestARequestForNothingGetsAnEmptyResult(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begun(t)
	resp, err := c.Solve(ctx, &gwpb.SolveRequest{
		AllowResultReturn: true, AllowResultArrayRef: true,
		FrontendOpt:    map[string]string{"requestid": "frontend.lint"},
		FrontendInputs: map[string]*pb.Definition{"context": clientsLLB(t)},
	})
	require.NoError(t, err)
	require.True(t, proto.Equal(empty, resp.Result), "%v", resp.Result)
	_, err = c.Return(ctx, &gwpb.ReturnRequest{Result: resp.Result})
	require.NoError(t, err)
	require.Empty(t, frontendRuns(d))
}

// Programs that make LLB send many definitions in one build.
func TestAClientSendsManyDefinitions(t *testing.T) {
	t.Parallel()
	_, _, c, ctx := begunUnder(t, forwarding+"llb: allow\n")
	def := command(t, "corp.example/base:1")
	for range 2 * maxAnswers {
		_, err := c.Solve(ctx, solving(def))
		require.NoError(t, err)
	}
}

// Old programs ask for a frontend when they begin a build.
func TestAFrontendThatTheBeginningOfABuildAsksFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frontend string
		attrs    map[string]string
		why      string
	}{
		"an allowed image": {"gateway.v0", map[string]string{"source": "docker/dockerfile:1"}, ""},
		"the daemon's own": {"dockerfile.v0", nil, ""},
		"an image that no rule allows": {
			"gateway.v0", map[string]string{"source": "evil/frontend:1"}, "no rule allows evil/frontend:1",
		},
		"an unknown frontend": {"future.v0", nil, "the frontend future.v0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemon(t)
			d.ends = true
			_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
				&controlapi.SolveRequest{
					Ref: "b", Session: "s1", Frontend: tc.frontend, FrontendAttrs: tc.attrs,
				})
			solve := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
			require.Empty(t, solve.Frontend)
			require.Empty(t, solve.FrontendAttrs)
			ret := d.await(t, "Return").request.(*gwpb.ReturnRequest)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Contains(t, ret.Error.Message, tc.why)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "result", ret.Result.GetRef().Id)
			var run *gwpb.SolveRequest
			for _, call := range d.all() {
				if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Frontend != "" {
					run = r
				}
			}
			require.Equal(t, "docker.io/docker/dockerfile:1@"+fakeDigest, run.FrontendOpt["source"])
			require.Equal(t, g.names.cacheMounts("alice"), run.FrontendOpt[optionkeys.CacheMounts])
		})
	}
}

// An input is judged wherever a client sends it.
func TestFrontendInputsOfTheBeginningOfABuild(t *testing.T) {
	t.Parallel()
	ask := func(c *grpc.ClientConn, ref string, input *pb.Definition) error {
		_, err := controlapi.NewControlClient(c).Solve(of(t), &controlapi.SolveRequest{
			Ref: ref, Session: "s1", Frontend: "gateway.v0",
			FrontendAttrs:  map[string]string{"source": "docker/dockerfile:1", "context:x": "input:x"},
			FrontendInputs: map[string]*pb.Definition{"x": input},
		})
		return err
	}
	d, g := newDaemon(t)
	d.ends = true
	d.result = clientsLLB(t)
	conn := as(t, g, "alice")
	require.ErrorContains(t, ask(conn, "a", d.result),
		"isn't what a build of this client has returned")
	require.Empty(t, frontendRuns(d))

	b := &build{who: "alice", client: "before", policy: g.policy.current()}
	require.NoError(t, g.begin(t.Context(), b))
	defer b.end()
	_, err := gwpb.NewLLBBridgeClient(conn).Solve(of(t, buildIDHeader, "before"),
		asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.NoError(t, ask(conn, "b", d.result))
	for _, call := range d.all() {
		if begin, ok := call.request.(*controlapi.SolveRequest); ok {
			require.Empty(t, begin.FrontendInputs)
		}
	}
	runs := frontendRuns(d)
	require.Equal(t, d.result.Def, runs[len(runs)-1].FrontendInputs["x"].Def)
}

func TestAClientLooksUpSources(t *testing.T) {
	t.Parallel()
	policy := forwarding + "build: {images: {allow: [\"corp.example/**\"]}}\n"
	source := func(id string, attrs ...string) *gwpb.ResolveSourceMetaRequest {
		r := &gwpb.ResolveSourceMetaRequest{Source: &pb.SourceOp{
			Identifier: id, Attrs: map[string]string{},
		}}
		for i := 0; i < len(attrs); i += 2 {
			r.Source.Attrs[attrs[i]] = attrs[i+1]
		}
		return r
	}
	for name, tc := range map[string]struct {
		req *gwpb.ResolveSourceMetaRequest
		why string
	}{
		"an image that a build may read": {source("docker-image://corp.example/base:1"), ""},
		"another image": {
			source("docker-image://evil.example/base:1"), "the image evil.example/base:1",
		},
		"a layout of another client": {
			source("oci-layout://x@"+fakeDigest, pb.AttrOCILayoutSessionID, "bobs"), "another client",
		},
		"no source": {&gwpb.ResolveSourceMetaRequest{}, "names no source"},
		"a source policy that converts": {
			&gwpb.ResolveSourceMetaRequest{
				Source:         source("docker-image://corp.example/base:1").Source,
				SourcePolicies: []*spb.Policy{{Rules: []*spb.Rule{{Action: spb.PolicyAction_CONVERT}}}},
			}, "converts sources",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g, c, ctx := begunUnder(t, policy)
			require.NoError(t, g.sessions.claim("bobs", "bob"))
			_, err := c.ResolveSourceMeta(ctx, tc.req)
			reached := 0
			for _, call := range d.all() {
				if _, ok := call.request.(*gwpb.ResolveSourceMetaRequest); ok {
					reached++
				}
			}
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Zero(t, reached)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 1, reached)
		})
	}
	_, g, c, ctx := begunUnder(t, policy)
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	ask := func(req *gwpb.ResolveImageConfigRequest) error {
		_, err := c.ResolveImageConfig(ctx, req)
		return err
	}
	require.NoError(t, ask(&gwpb.ResolveImageConfigRequest{Ref: "corp.example/base:1"}))
	require.ErrorContains(t, ask(&gwpb.ResolveImageConfigRequest{Ref: "evil.example/base:1"}),
		"the image evil.example/base:1")
	require.ErrorContains(t, ask(&gwpb.ResolveImageConfigRequest{
		Ref: "corp.example/base:1", ResolverType: 1, SessionID: "bobs",
	}), "another client")
	require.ErrorContains(t, ask(&gwpb.ResolveImageConfigRequest{Ref: "a", ResolverType: 7}),
		"the resolver 7")
	bob := gwpb.NewLLBBridgeClient(as(t, g, "bob"))
	_, err := bob.ResolveSourceMeta(of(t, buildIDHeader, "b"), source("local://x"))
	requireCode(t, codes.PermissionDenied, err)
}

// A client may read what the policy lets a build read, but a result that goes somewhere has to be
// made by a frontend, or by LLB that the policy allows.
func TestWhatAClientHasOnlyReadGoesNowhere(t *testing.T) {
	t.Parallel()
	const configured = forwarding + "llb: allow\nbuild: {config: {user: {forbid: [root]}}}\n"
	own := definition(t, llb.Local("context"))
	for name, tc := range map[string]struct {
		policy  string
		exports bool
		def     *pb.Definition // nil for the empty result
		refused bool
	}{
		"a directory without exporters":     {policy: forwarding, def: own},
		"a directory":                       {policy: forwarding, exports: true, def: own, refused: true},
		"an empty result without exporters": {policy: forwarding},
		"an empty result":                   {policy: forwarding, exports: true, refused: true},
		"LLB that is allowed": {
			policy: forwarding + "llb: allow\n", exports: true, def: own,
		},
		"LLB under rules on the configuration": {
			policy: configured, exports: true, def: own, refused: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, "")
			begin := &controlapi.SolveRequest{Ref: "b", Session: "s1"}
			if tc.exports {
				begin.Exporters = []*controlapi.Exporter{{Type: "oci"}}
			}
			c, ctx := begunAs(t, d, g, begin)
			ret := &gwpb.ReturnRequest{Result: empty}
			if tc.def != nil {
				resp, err := c.Solve(ctx, solving(tc.def))
				require.NoError(t, err)
				ret.Result = resp.Result
			}
			_, err := c.Return(ctx, ret)
			if tc.refused {
				requireCode(t, codes.PermissionDenied, err)
				require.ErrorContains(t, err, "no frontend made it")
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestADirectRequestExportsNothingThatTheClientOnlyReads(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, forwarding, "")
	d.ends = true
	_, _ = controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), &controlapi.SolveRequest{
		Ref: "b", Session: "s1", Definition: definition(t, llb.Local("context")),
		Exporters: []*controlapi.Exporter{{Type: "oci"}},
	})
	ret := d.await(t, "Return").request.(*gwpb.ReturnRequest)
	require.Nil(t, ret.Result)
	require.Contains(t, ret.Error.GetMessage(), "no frontend made it")
}

func TestAClientWarnsOnlySoOften(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ size, passed int }{
		"many warnings": {1, maxWarnings}, "large ones": {4 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, c, ctx := begun(t)
			warning := &gwpb.WarnRequest{Short: make([]byte, tc.size)}
			for range tc.passed {
				_, err := c.Warn(ctx, warning)
				require.NoError(t, err)
			}
			_, err := c.Warn(ctx, warning)
			requireCode(t, codes.PermissionDenied, err)
			require.ErrorContains(t, err, "too many warnings")
		})
	}
}
