package integration

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// These tests show what the daemon's build proxy does by itself. They are why policy-guard doesn't
// leave the answers to each build's session alone.

// answering is a client's build whose commands use the build proxy. It answers the questions
// itself.
type answering struct {
	mu    sync.Mutex
	asked []string
}

// build builds, and refuses the downloads with a part of their URL.
func (s *answering) build(
	t *testing.T, d *harness.Daemon, dir, refused string,
) (log string, err error) {
	t.Helper()
	ctx, c := buildkitClient(t, d)
	ch := make(chan *client.SolveStatus)
	done := make(chan string)
	go func() {
		var b strings.Builder
		for s := range ch {
			for _, l := range s.Logs {
				b.Write(l.Data)
			}
		}
		done <- b.String()
	}()
	_, err = c.Solve(ctx, nil, client.SolveOpt{
		Frontend: "dockerfile.v0", LocalMounts: mountsOf(t, dir), ProxyNetwork: true,
		SourcePolicyProvider: policysession.NewPolicyProvider(func(
			_ context.Context, req *policysession.CheckPolicyRequest,
		) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
			source := req.GetSource().GetSource()
			action := spb.PolicyAction_ALLOW
			if strings.HasPrefix(source.GetIdentifier(), "http") {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.asked = append(s.asked, source.GetIdentifier())
				if refused != "" && strings.Contains(source.GetIdentifier(), refused) {
					action = spb.PolicyAction_DENY
				}
			}
			return &policysession.DecisionResponse{Action: action}, nil, nil
		}),
	}, ch)
	return <-done, err
}

func TestWhatTheBuildProxyDoesByItself(t *testing.T) {
	env.Needs(t, harness.GuardFloor, "it has no build proxy")
	w := newDownloads(t)
	d := env.StartDaemon(t, w.config)

	t.Run("it asks about HTTP and HTTPS", func(t *testing.T) {
		var s answering
		log, err := s.build(t, d, w.dockerfile(t,
			"downloader get "+w.http+"/plain", "downloader get "+w.https+"/secure"), "")
		require.NoError(t, err, log)
		require.Equal(t, []string{w.http + "/plain", w.https + "/secure"}, s.asked, log)
		t.Log(log)
	})
	t.Run("a command can go on after a refusal, and its result is cached", func(t *testing.T) {
		var first, second answering
		dir := w.dockerfile(t, "downloader get "+w.http+"/swallowed || echo went on")
		log, err := first.build(t, d, dir, "/swallowed")
		require.NoError(t, err)
		require.Contains(t, log, "403 Forbidden")
		require.Contains(t, log, "went on")
		_, err = second.build(t, d, dir, "")
		require.NoError(t, err)
		require.Empty(t, second.asked, "the second build gets what the first one made of the refusal")
	})
	t.Run("a cached command isn't asked about", func(t *testing.T) {
		var first, second answering
		dir := w.dockerfile(t, "downloader get "+w.http+"/cached")
		_, err := first.build(t, d, dir, "")
		require.NoError(t, err)
		log, err := second.build(t, d, dir, "/cached")
		require.NoError(t, err, "the second client refuses this download")
		require.Empty(t, second.asked, log)
	})
	t.Run("of builds at once that share a command, one is asked", func(t *testing.T) {
		var sessions [3]answering
		dir := w.dockerfile(t, "sleep 3; downloader get "+w.http+"/shared; "+
			"downloader get "+w.http+"/shared2")
		var wg sync.WaitGroup
		for i := range sessions {
			wg.Go(func() {
				_, err := sessions[i].build(t, d, dir, "")
				require.NoError(t, err)
			})
		}
		wg.Wait()
		asked := 0
		for i := range sessions {
			asked += len(sessions[i].asked)
		}
		require.Equal(t, 2, asked, "each download was asked about once")
	})
}
