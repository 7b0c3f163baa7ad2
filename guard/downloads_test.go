package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	wlabel "github.com/moby/buildkit/worker/label"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// onDownloads lets commands of docker/dockerfile download from one host. For another frontend, it
// only warns.
const onDownloads = `version: 1
id: corp
contact: "#ops"
llb: allow
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    dispatch: builtin
    build: {exec: {downloads: {allow: ["https://files.example"]}}}
  - name: warned
    match: [corp/warned]
    dispatch: mediate
    build: {exec: {downloads: {mode: warn, allow: ["https://files.example"]}}}
`

// mediator is the image to which these builds are handed over.
const mediator = "corp.example/mediator:1"

// newDownloadsDaemon returns a daemon that runs the mediator, and a guard under a policy with rules
// on downloads. No step is under way.
func newDownloadsDaemon(t *testing.T, policy string) (*fakeDaemon, *Guard) {
	t.Helper()
	d, g := newDaemonFor(t, policy, mediator)
	d.imageConfig = keepsPolicy
	d.metadata[frontend.MetadataKey] = []byte("{}")
	d.progress = &controlapi.StatusResponse{}
	return d, g
}

// downloading begins a build under onDownloads. The channel has the error of its Control.Solve.
func downloading(
	t *testing.T, policy string,
) (*fakeDaemon, *Guard, gwpb.LLBBridgeClient, context.Context, chan error) {
	t.Helper()
	d, g := newDownloadsDaemon(t, policy)
	started := timestamppb.New(time.Unix(1, 0))
	d.progress = &controlapi.StatusResponse{Vertexes: []*controlapi.Vertex{
		{Digest: "sha256:done", Name: "[1/3] FROM base", Started: started, Completed: started},
		{Digest: "sha256:runs", Name: "[2/3] RUN fetch https://evil.example/a", Started: started},
		{Digest: "sha256:waits", Name: "[3/3] RUN make"},
	}}
	conn := as(t, g, "alice")
	ended := make(chan error, 1)
	go func() {
		_, err := controlapi.NewControlClient(conn).Solve(of(t),
			&controlapi.SolveRequest{Ref: "b", Session: "s1"})
		ended <- err
	}()
	d.await(t, "Control/Solve")
	return d, g, gwpb.NewLLBBridgeClient(conn), of(t, buildIDHeader, "b"), ended
}

func TestTheDaemonAsksAboutDownloadsUnderAPolicyWithRulesOnThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy       string
		asked, wants bool
	}{
		"a policy without such rules": {forwarding, false, false},
		"a policy with such rules":    {onDownloads, false, true},
		"both":                        {onDownloads, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, mediator)
			begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b", ProxyNetwork: tc.asked})
			req := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
			require.Equal(t, tc.wants, req.ProxyNetwork)
		})
	}
}

func TestARequestOfACommandIsJudgedByTheDecision(t *testing.T) {
	t.Parallel()
	_, g, c, ctx, _ := downloading(t, onDownloads)
	_, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Empty(t, ask("https://files.example/a"))
	require.Empty(t, ask("https://files.example/b?token=x"))
	// The Dockerfile frontend's sources have attributes, and no rule is about them here.
	require.Empty(t, ask("https://evil.example/a", pb.AttrHTTPFilename, "a"))
}

func TestARefusedDownloadRefusesTheBuild(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{
		"of another host":                    "https://evil.example/a?token=hunter22",
		"without TLS":                        "http://files.example/a",
		"of something that is no URL":        "https:evil",
		"with the allowed host as its user":  "https://files.example@evil.example/",
		"of an address for the allowed host": "https://192.0.2.1/a",
		"with another port":                  "https://files.example:8443/a",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g, c, ctx, ended := downloading(t, onDownloads)
			_, ask := asker(ctx, t, g)
			_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
			require.NoError(t, err)
			require.NotEmpty(t, ask(url))
			select {
			case <-d.stopped: // before the daemon had its answer
			default:
				t.Fatal("the command may go on")
			}
			err = <-ended
			requireCode(t, codes.PermissionDenied, err)
			text := status.Convert(err).Message()
			for _, want := range []string{
				"policy-guard refuses a download: ", "a command's request ", "rule: ", "#ops",
				"[2/3] RUN fetch https://evil.example/a",
			} {
				require.Contains(t, text, want)
			}
			require.NotContains(t, text, "RUN make")
			require.NotContains(t, text, "hunter22")
		})
	}
}

func TestNothingIsDownloadedBeforeTheDecision(t *testing.T) {
	t.Parallel()
	_, g, _, ctx, ended := downloading(t, onDownloads)
	_, ask := asker(ctx, t, g)
	require.Contains(t, ask("https://files.example/a"), "no frontend was allowed")
	requireCode(t, codes.PermissionDenied, <-ended)
}

// A question about a source of a definition looks like one about a request of a command.
func TestASourceThatLooksLikeADownloadNeedsBothRules(t *testing.T) {
	t.Parallel()
	const both = `version: 1
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    dispatch: builtin
    build:
      http: {allow: ["https://sources.example", "https://both.example"]}
      exec: {downloads: {allow: ["https://files.example", "https://both.example"]}}
`
	for url, allowed := range map[string]bool{
		"https://files.example/a":   false,
		"https://sources.example/a": false,
		"https://both.example/a":    true,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			d, g, c, ctx, _ := downloading(t, both)
			d.result = sourceDefinition(t, url)
			_, ask := asker(ctx, t, g)
			_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
			require.NoError(t, err)
			require.Equal(t, allowed, ask(url) == "")
		})
	}
}

func sourceDefinition(t *testing.T, url string) *pb.Definition {
	t.Helper()
	op, err := (&pb.Op{Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: url}}}).MarshalVT()
	require.NoError(t, err)
	return &pb.Definition{Def: [][]byte{op}}
}

// The answer comes when the command can't end well any more, or when it has gone away.
func TestARefusedCommandSeesNothingBeforeItsBuildHasEnded(t *testing.T) {
	t.Parallel()
	d, g, c, ctx, ended := downloading(t, onDownloads)
	b, _ := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	d.mu.Lock()
	d.holds = make(chan struct{}) // the daemon takes its time to end the build
	d.mu.Unlock()
	answered := make(chan spb.PolicyAction, 2)
	ask := func(ctx context.Context) {
		res, _, _ := b.observedAnswer(ctx, question("https://evil.example/a"))
		answered <- res.GetAction()
	}
	go ask(t.Context())
	requireCode(t, codes.PermissionDenied, <-ended)
	select {
	case <-answered:
		t.Fatal("the command can go on")
	case <-time.After(200 * time.Millisecond):
	}
	gone, leave := context.WithCancel(t.Context())
	go ask(gone)
	leave()
	require.Equal(t, spb.PolicyAction_DENY, <-answered)
	close(d.holds)
	require.Equal(t, spb.PolicyAction_DENY, <-answered)
}

// A build that fails doesn't wait for its other commands. Builds that follow get what these leave
// in the cache.
func TestACommandThatOutlivesItsBuildIsToldNothing(t *testing.T) {
	t.Parallel()
	_, g, c, ctx, _ := downloading(t, onDownloads)
	b, _ := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	l := b.downloads.lineage
	closed := make(chan struct{})
	b.downloads.closeWith(func() { close(closed) })
	b.leave(true)
	b.end()
	for _, url := range []string{"https://evil.example/a", "https://files.example/a"} {
		gone, leave := context.WithCancel(t.Context())
		answered := make(chan spb.PolicyAction, 1)
		go func() {
			res, _, _ := b.observedAnswer(gone, question(url))
			answered <- res.GetAction()
		}()
		select {
		case <-answered:
			t.Fatal("the command can go on")
		case <-closed:
			t.Fatal("the daemon would refuse by itself")
		case <-time.After(200 * time.Millisecond):
		}
		leave()
		require.Equal(t, spb.PolicyAction_DENY, <-answered)
	}
	require.Same(t, l, g.lineages.take(l.of, nil), "the lineage goes on")
	<-closed
}

func TestARuleThatOnlyWarnsOfADownload(t *testing.T) {
	t.Parallel()
	d, g, c, ctx, _ := downloading(t, onDownloads)
	_, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("corp/warned:1"))
	require.NoError(t, err)
	for range 2 {
		require.Empty(t, ask("https://evil.example/a"))
	}
	var shown []string
	for _, call := range d.all() {
		if w, ok := call.request.(*gwpb.WarnRequest); ok && w.Digest == "sha256:runs" {
			shown = append(shown, string(w.Short))
		}
	}
	require.Len(t, shown, 1)
	require.True(t, strings.HasPrefix(shown[0], "policy: "), shown[0])
	require.Contains(t, shown[0], "https://evil.example/a")
}

func TestTheRecordOfDownloads(t *testing.T) {
	t.Parallel()
	d, g := newDownloadsDaemon(t, onDownloads)
	path := recorded(t, g)
	c, ctx := begunBefore(t, d, g)
	_, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	require.Empty(t, ask("https://files.example/a?token=hunter22"))
	require.Empty(t, ask("https://files.example/a?token=other"))
	require.Empty(t, ask("https://files.example/b"))
	require.NotEmpty(t, ask("https://evil.example/c"))
	end := ended(t, path)
	require.Equal(t, []record.Download{
		{URL: "https://files.example/a?***", Times: 2, Verdict: "allow", Rule: "dockerfile"},
		{URL: "https://files.example/b", Times: 1, Verdict: "allow", Rule: "dockerfile"},
		{URL: "https://evil.example/c", Times: 1, Verdict: "deny", Rule: "dockerfile"},
	}, end.Downloads)
	require.Equal(t, record.Refused, end.Outcome)
	require.Equal(t, aDownload, end.Refusals[0].What)
	require.Equal(t, "dockerfile", end.Refusals[0].Rule)
}

// A download of which the policy only warns was served, and the record says so.
func TestTheRecordOfDownloadsWithWarnings(t *testing.T) {
	t.Parallel()
	d, g := newDownloadsDaemon(t, onDownloads)
	path := recorded(t, g)
	c, ctx := begunBefore(t, d, g)
	b, ask := asker(ctx, t, g)
	_, err := c.Solve(ctx, asking("corp/warned:1"))
	require.NoError(t, err)
	require.Empty(t, ask("https://files.example/a"))
	require.Empty(t, ask("https://evil.example/b?token=hunter22"))
	require.Empty(t, ask("https://evil.example/b?token=other"))
	b.cancel(brokenError("test"))
	end := ended(t, path)
	require.Equal(t, []record.Download{
		{URL: "https://files.example/a", Times: 1, Verdict: "allow", Rule: "warned"},
		{URL: "https://evil.example/b?***", Times: 2, Verdict: "warn", Rule: "warned"},
	}, end.Downloads)
	require.Empty(t, end.Refusals)
	require.Len(t, end.Warnings, 1)
	require.Contains(t, end.Warnings[0], "a command's request for https://evil.example/b")
	require.NotContains(t, end.Warnings[0], "hunter22")
	require.Equal(t, "warn", end.Decision.Verdict)
}

// Of two rules on a frontend, the one that names the client says what commands download.
func TestDownloadsDifferByClient(t *testing.T) {
	t.Parallel()
	const byClient = `version: 1
frontends:
  - name: alices
    match: [docker/dockerfile]
    clients: ["uid:1"]
    dispatch: builtin
    build: {exec: {downloads: {allow: ["https://alice.example"]}}}
  - name: bobs
    match: [docker/dockerfile]
    clients: ["uid:2"]
    dispatch: builtin
    build: {exec: {downloads: {allow: ["https://bob.example"]}}}
`
	d, g := newDownloadsDaemon(t, byClient)
	d.result = sourceDefinition(t, "docker-image://docker.io/library/busybox:latest")
	alice := caller{id: "uid:1", client: clients.Peer(1)}
	bob := caller{id: "uid:2", client: clients.Peer(2)}
	hers, his := beginDownloadingAs(t, g, alice, "hers"), beginDownloadingAs(t, g, bob, "his")
	require.NotEqual(t, hers.id, his.id)
	require.Empty(t, hers.ask("https://alice.example/a"))
	require.Empty(t, his.ask("https://bob.example/a"))
	require.Contains(t, hers.ask("https://bob.example/a"), "it allows only https://alice.example/**")
	requireCode(t, codes.PermissionDenied, <-hers.ended)
	require.Empty(t, his.ask("https://bob.example/b"), "his build goes on")
	require.Contains(t, his.ask("https://alice.example/a"), "it allows only https://bob.example/**")
	requireCode(t, codes.PermissionDenied, <-his.ended)
}

// Builds under rules on downloads have the same id only one after another, and only as long as all
// that they requested was allowed and answered.
func TestWhichBuildsShareCommandsUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end    func(t *testing.T, r *downloadingBuild)
		second Identity
		same   bool
	}{
		"after a build that is done": {
			end: func(t *testing.T, r *downloadingBuild) { r.finish(t, nil) }, second: "alice", same: true,
		},
		"after a build that failed": {
			end: func(t *testing.T, r *downloadingBuild) {
				r.finish(t, status.New(codes.Unknown, "a command failed"))
			}, second: "alice", same: true,
		},
		"after one that was allowed a download": {
			end: func(t *testing.T, r *downloadingBuild) {
				require.Empty(t, r.ask("https://files.example/a"))
				r.finish(t, nil)
			}, second: "alice", same: true,
		},
		"not after one that was refused a download": {
			end: func(t *testing.T, r *downloadingBuild) {
				require.NotEmpty(t, r.ask("https://evil.example/a"))
				require.Error(t, <-r.ended)
			}, second: "alice",
		},
		"not after one that was refused another source": {
			end: func(t *testing.T, r *downloadingBuild) {
				require.NotEmpty(t, r.ask("docker-image://corp.example/a", pb.AttrImageRecordType, "frontend"))
				r.finish(t, nil)
			}, second: "alice",
		},
		"not after one that its client has canceled": {
			end: func(t *testing.T, r *downloadingBuild) {
				r.cancel()
				require.Error(t, <-r.ended)
			}, second: "alice",
		},
		"not after one whose daemon was lost": {
			end: func(t *testing.T, r *downloadingBuild) {
				r.finish(t, status.New(codes.Unavailable, "connection reset"))
			}, second: "alice",
		},
		"not at once": {end: func(*testing.T, *downloadingBuild) {}, second: "alice"},
		"not with another client's": {
			end: func(t *testing.T, r *downloadingBuild) { r.finish(t, nil) }, second: "bob",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, onDownloads, mediator)
			d.imageConfig, d.ends = keepsPolicy, true
			d.metadata[frontend.MetadataKey] = []byte("{}")
			d.progress = &controlapi.StatusResponse{}
			d.result = sourceDefinition(t, "docker-image://docker.io/library/busybox:latest")
			first := beginDownloading(t, g, "alice", "first")
			tc.end(t, first)
			second := beginDownloading(t, g, tc.second, "second")
			require.NotEmpty(t, first.id)
			require.Equal(t, tc.same, first.id == second.id)
			require.NotEmpty(t, first.mounts)
			require.Equal(t, tc.same, first.mounts == second.mounts)
		})
	}
}

// downloadingBuild is a build under way whose frontend has returned.
type downloadingBuild struct {
	id     string // by which its commands are kept apart
	mounts string // the namespace of its cache mounts
	ask    func(string, ...string) string
	cancel func()
	ended  chan error
	client gwpb.LLBBridgeClient
	ctx    context.Context
}

func beginDownloading(t *testing.T, g *Guard, who Identity, name string) *downloadingBuild {
	t.Helper()
	return beginDownloadingAs(t, g, caller{id: who}, name)
}

func beginDownloadingAs(t *testing.T, g *Guard, who caller, name string) *downloadingBuild {
	t.Helper()
	conn := dial(t, listen(t, g.Server(known(who))))
	ctx, cancel := context.WithCancel(of(t))
	t.Cleanup(cancel)
	r := &downloadingBuild{
		cancel: cancel, ended: make(chan error, 1), client: gwpb.NewLLBBridgeClient(conn),
		ctx: of(t, buildIDHeader, name),
	}
	go func() {
		_, err := controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{Ref: name})
		r.ended <- err
	}()
	_, err := r.client.Solve(r.ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	ref, err := g.names.ref(who.id, name)
	require.NoError(t, err)
	b, err := g.builds.find(r.ctx, ref)
	require.NoError(t, err)
	r.id = b.chosen().KeptApart()
	handed, err := gatewayopts.Parse(b.chosen().Options).HandOver()
	require.NoError(t, err)
	r.mounts = handed.CacheMounts
	r.ask = func(id string, attrs ...string) string { return askIn(r.ctx, t, b, id, attrs...) }
	return r
}

// finish has the client return a result or an error, and waits for the end of the build.
func (r *downloadingBuild) finish(t *testing.T, failed *status.Status) {
	t.Helper()
	req := &gwpb.ReturnRequest{Result: &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}},
	}}
	if failed != nil {
		req = &gwpb.ReturnRequest{Error: failed.Proto()}
	}
	_, err := r.client.Return(r.ctx, req)
	require.NoError(t, err)
	require.Equal(t, failed == nil, <-r.ended == nil)
}

// A client knows the host by which its commands are kept apart, and can put it into a cache.
func TestNoBuildImportsACacheUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	const why = "it imports a build cache, and where the policy has rules on downloads"
	const allowed = onDownloads + "caches: {imports: {registry: {allow: [\"corp.example/**\"]}}}\n"
	attrs := map[string]string{"ref": "corp.example/cache:1"}
	t.Run("by the request for the build", func(t *testing.T) {
		t.Parallel()
		_, g := newDaemonFor(t, allowed, mediator)
		_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), &controlapi.SolveRequest{
			Ref: "b", Session: "s1", Cache: &controlapi.CacheOptions{
				Imports: []*controlapi.CacheOptionsEntry{{Type: "registry", Attrs: attrs}},
			},
		})
		require.ErrorContains(t, err, why)
	})
	t.Run("by a request for a frontend", func(t *testing.T) {
		t.Parallel()
		_, _, c, ctx, _ := downloading(t, allowed)
		req := asking("docker/dockerfile:1")
		req.CacheImports = []*gwpb.CacheOptionsEntry{{Type: "registry", Attrs: attrs}}
		_, err := c.Solve(ctx, req)
		require.ErrorContains(t, err, why)
	})
	t.Run("by an option", func(t *testing.T) {
		t.Parallel()
		_, _, c, ctx, _ := downloading(t, allowed)
		_, err := c.Solve(ctx, asking("docker/dockerfile:1", "cache-from", attrs["ref"]))
		require.ErrorContains(t, err, why)
	})
	t.Run("by an option that the policy forces", func(t *testing.T) {
		t.Parallel()
		_, _, c, ctx, _ := downloading(t, strings.Replace(allowed, "dispatch: builtin",
			"options: {force: {cache-from: "+attrs["ref"]+"}}", 1))
		_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
		require.ErrorContains(t, err, why)
	})
}

// A daemon that doesn't know its build proxy would leave commands alone.
func TestAnOldDaemonBuildsNothingUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{
		forwarding:  "",
		onDownloads: "rules on what commands download (frontends[0].build.exec.downloads)",
	} {
		d, g := newDaemonFor(t, policy, mediator)
		d.version, d.ends, g.acceptOldDaemon = "v0.30.0", true, true
		d.returned <- &gwpb.ReturnRequest{}
		_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
			&controlapi.SolveRequest{Ref: "b"})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

// What a command has started must end with its build. Nobody is asked about its requests any more.
func TestOnlyWorkersThatEndCommandsServeRulesOnDownloads(t *testing.T) {
	t.Parallel()
	type labels = map[string]string
	const executor, mode = wlabel.Executor, wlabel.OCIProcessMode
	sandbox := labels{executor: "oci", mode: "sandbox"}
	shared := labels{executor: "oci", mode: "no-sandbox"}
	for name, tc := range map[string]struct {
		policy  string
		workers []labels // those of each
		refused bool
	}{
		"a worker with a sandbox":       {onDownloads, []labels{sandbox}, false},
		"a worker of containerd":        {onDownloads, []labels{{executor: "containerd"}}, false},
		"a worker without a sandbox":    {onDownloads, []labels{shared}, true},
		"the second one has no sandbox": {onDownloads, []labels{sandbox, shared}, true},
		"a mode that isn't known":       {onDownloads, []labels{{executor: "oci", mode: "x"}}, true},
		"a worker that doesn't say it":  {onDownloads, []labels{{executor: "oci"}}, true},
		"no sandbox, but no rules":      {forwarding, []labels{shared}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, mediator)
			for _, l := range tc.workers {
				d.workers = append(d.workers, &types.WorkerRecord{ID: "w\x1b", Labels: l})
			}
			err := g.checkDaemon(of(t), g.policy.current())
			if !tc.refused {
				require.NoError(t, err)
				return
			}
			var why sharedProcessesError
			require.ErrorAs(t, err, &why)
			require.Equal(t, "frontends[0].build.exec.downloads", why.rules)
			require.NotContains(t, err.Error(), "\x1b")
			d.ends = true
			_, err = controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
				&controlapi.SolveRequest{Ref: "b"})
			requireCode(t, codes.PermissionDenied, err)
			require.ErrorContains(t, err, "--oci-worker-no-process-sandbox")
		})
	}
	t.Run("a daemon that doesn't tell its workers", func(t *testing.T) {
		t.Parallel()
		d, g := newDaemonFor(t, onDownloads, mediator)
		d.workersFail = errors.New("broken")
		require.ErrorContains(t, g.checkDaemon(of(t), g.policy.current()), "broken")
	})
}

// A build with a result of another one as its input has that one's commands.
func TestALinkedBuildUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	_, g := newDaemonFor(t, onDownloads, mediator)
	rules, err := g.policy.current().layers(caller{id: "alice"}.client, nil)
	require.NoError(t, err)
	require.True(t, rules.HasDownloads())
	newBuild := func(who Identity) *build {
		b := &build{guard: g, who: who, policy: g.policy.current()}
		b.ctx, b.cancel = context.WithCancelCause(t.Context())
		return b
	}
	enter := func(b *build, common string) error {
		_, err := b.enter(common)
		return err
	}

	maker := newBuild("alice")
	require.NoError(t, enter(maker, "rules"))
	maker.made([]string{"result"}, madeBy{})
	require.False(t, newBuild("bob").hasInput(nil, "result"), "it is alice's")

	other := newBuild("alice")
	require.True(t, other.hasInput(nil, "result"))
	require.ErrorContains(t, enter(other, "other rules"), "under other rules on downloads")

	user := newBuild("alice")
	require.True(t, user.hasInput(nil, "result"))
	require.NoError(t, enter(user, "rules"))
	user.made([]string{"second result"}, madeBy{})

	third := newBuild("alice")
	require.True(t, third.hasInput(nil, "second result"))
	require.NoError(t, enter(third, "rules"))
	require.False(t, newBuild("alice").hasInput(nil, "unknown"))

	maker.spoil(errNotServed) // the command may be shared by all of them
	require.ErrorIs(t, context.Cause(user.ctx), errNotServed)
	require.ErrorIs(t, context.Cause(third.ctx), errNotServed)
	require.NoError(t, maker.ctx.Err())

	late := newBuild("alice")
	require.True(t, late.hasInput(nil, "result"))
	require.ErrorContains(t, enter(late, "rules"), "build both targets together again")
}
