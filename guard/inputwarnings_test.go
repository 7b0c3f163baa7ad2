package guard

import (
	"context"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/frontend"
)

const warnedDownloads = `version: 1
id: corp
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    dispatch: builtin
    build: {exec: {downloads: {mode: warn, allow: ["https://files.example"]}}}
`

// warningOfDownloads is a guard that signs, under a policy that only warns about downloads.
type warningOfDownloads struct {
	*fakeDaemon
	guard    *Guard
	exported map[string]string // what the daemon tells about an image
}

func newWarningOfDownloads(t *testing.T) *warningOfDownloads {
	t.Helper()
	d, g := newDaemonFor(t, warnedDownloads, mediator)
	signer, _ := newSigner(t)
	g.summaries = &Summaries{Signer: signer, Version: "v1"}
	d.imageConfig, d.ends = keepsPolicy, true
	reported := `{"verdict":"allow","policy":{"digest":"` +
		string(g.policy.current().Digest()) + `"}}` // by an image, which sees no downloads
	d.metadata[frontend.MetadataKey] = []byte(reported)
	d.progress = &controlapi.StatusResponse{}
	d.result = definition(t, llb.Image("docker.io/library/busybox:latest"))
	return &warningOfDownloads{d, g, map[string]string{
		"containerimage.digest": exportedImage, frontend.MetadataKey: reported,
	}}
}

func (w *warningOfDownloads) named(ctx context.Context, t *testing.T, name string) *build {
	t.Helper()
	ref, err := w.guard.names.ref("alice", name)
	require.NoError(t, err)
	b, err := w.guard.builds.find(ctx, ref)
	require.NoError(t, err)
	return b
}

// onInput begins a build with the result of another one as its input.
func (w *warningOfDownloads) onInput(t *testing.T, name string) (*build, context.Context) {
	t.Helper()
	conn, ctx := as(t, w.guard, "alice"), of(t, buildIDHeader, name)
	begun := of(t)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(begun, &controlapi.SolveRequest{Ref: name})
	}()
	linked := asking("docker/dockerfile:1", "context:base", "input:base")
	linked.FrontendInputs = map[string]*pb.Definition{"base": w.result}
	_, err := gwpb.NewLLBBridgeClient(conn).Solve(ctx, linked)
	require.NoError(t, err)
	return w.named(ctx, t, name), ctx
}

// requireNoSummary ends a build, and requires that a warning about a download speaks against its
// summary.
func (w *warningOfDownloads) requireNoSummary(t *testing.T, b *build) {
	t.Helper()
	b.leave(true)
	_, err := b.statement(request(nil), w.exported)
	require.ErrorContains(t, err, "the policy only warned about it: ")
	require.ErrorContains(t, err, "https://evil.example/a")
}

// The command of an input is one of the build that made it, which may not have run it yet.
func TestAWarningAboutADownloadOfAnInput(t *testing.T) {
	t.Parallel()
	t.Run("while the input's build is under way", func(t *testing.T) {
		t.Parallel()
		w := newWarningOfDownloads(t)
		first := beginDownloading(t, w.guard, "alice", "first")
		maker := w.named(first.ctx, t, "first")
		user, ctx := w.onInput(t, "second")
		require.NotEqual(t, first.id, user.chosen().KeptApart())
		require.Empty(t, askIn(ctx, t, user, "https://evil.example/a"))
		w.requireNoSummary(t, user)
		w.requireNoSummary(t, maker)
	})
	t.Run("for builds that follow the input's", func(t *testing.T) {
		t.Parallel()
		w := newWarningOfDownloads(t)
		first := beginDownloading(t, w.guard, "alice", "first")
		user, ctx := w.onInput(t, "second")
		w.named(first.ctx, t, "first").leave(true)
		require.Empty(t, askIn(ctx, t, user, "https://evil.example/a"))
		w.requireNoSummary(t, user)
		third := beginDownloading(t, w.guard, "alice", "third")
		fourth := beginDownloading(t, w.guard, "alice", "fourth")
		require.Contains(t, []string{third.id, fourth.id}, first.id)
		w.requireNoSummary(t, w.named(third.ctx, t, "third"))
		w.requireNoSummary(t, w.named(fourth.ctx, t, "fourth"))
	})
	t.Run("which is told to the client that builds on it", func(t *testing.T) {
		t.Parallel()
		w := newWarningOfDownloads(t)
		first := beginDownloading(t, w.guard, "alice", "first")
		require.Empty(t, first.ask("https://evil.example/a"))
		user, _ := w.onInput(t, "second")
		said := 0
		for _, call := range w.all() {
			if r, ok := call.request.(*gwpb.SolveRequest); ok && r.Definition != nil && r.Evaluate {
				said++
			}
		}
		require.Equal(t, 1, said)
		w.requireNoSummary(t, user)
	})
}

// A build has left its lineage when its summary is signed, and a command that a failing build left
// behind still asks.
func TestACommandThatAsksAfterItsLineageWasLeft(t *testing.T) {
	t.Parallel()
	w := newWarningOfDownloads(t)
	first := beginDownloading(t, w.guard, "alice", "first")
	b := w.named(first.ctx, t, "first")
	b.leave(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := b.judgeQuestion(ctx, &pb.SourceOp{Identifier: "https://evil.example/a"}, nil)
	require.ErrorIs(t, err, errCommandLate)
}

func TestAQuestionWithoutAnAnswerSpeaksAgainstASummary(t *testing.T) {
	t.Parallel()
	w := newWarningOfDownloads(t)
	first := beginDownloading(t, w.guard, "alice", "first")
	b := w.named(first.ctx, t, "first")
	answered := b.downloads.begin()
	b.leave(true)
	answered()
	_, err := b.statement(request(nil), w.exported)
	require.ErrorContains(t, err, "a command still asked for a download")
}

// A lineage is free when its build has ended, and builds on a result of it go on.
func TestAFreeLineageWithTooManyWarningsEnds(t *testing.T) {
	t.Parallel()
	var s lineages
	l := s.take("a", nil)
	s.done(l, nil)
	for i := range maxLineageWarnings + 1 {
		s.warn(l, string(rune('a'+i)))
	}
	require.NotSame(t, l, s.take("a", nil))
}
