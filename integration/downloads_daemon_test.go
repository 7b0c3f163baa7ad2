package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

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
	raw bool // the commands don't use the build proxy

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
		Frontend: "dockerfile.v0", LocalMounts: mountsOf(t, dir), ProxyNetwork: !s.raw,
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

	t.Run("it is all of the network that a command has", func(t *testing.T) {
		address, reached := lineServer(t)
		without, with := answering{raw: true}, answering{}
		log, err := without.build(t, d, w.dockerfile(t, "downloader tcp "+address), "")
		require.NoError(t, err, log)
		require.True(t, reached(), log)
		address, reached = lineServer(t)
		log, err = with.build(t, d, w.dockerfile(t, "downloader tcp "+address), "")
		require.Error(t, err)
		require.Contains(t, log, "connection refused")
		require.False(t, reached(), log)
	})
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
	t.Run("a build without the proxy gets what a client's policy made of a command", func(t *testing.T) {
		dir := w.dockerfile(t, "downloader get "+w.http+"/poisoned || echo went on")
		ctx, c := buildkitClient(t, d)
		_, err := c.Solve(ctx, nil, client.SolveOpt{
			Frontend: "dockerfile.v0", LocalMounts: mountsOf(t, dir), ProxyNetwork: true,
			SourcePolicy: &spb.Policy{Rules: []*spb.Rule{{
				Action: spb.PolicyAction_DENY, Selector: &spb.Selector{Identifier: "http*/poisoned"},
			}}},
		}, nil)
		require.NoError(t, err)
		other := answering{raw: true}
		_, err = other.build(t, d, dir, "")
		require.NoError(t, err)
		require.False(t, w.got("/poisoned"), "the second build never ran the command")
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

// A command that goes on after its step has connections of which the build proxy asks nobody when
// the build has ended. So policy-guard wants workers that end a command with all its processes.
func TestACommandThatOutlivesItsBuildAsksNobody(t *testing.T) {
	env.NeedsRootless(t, "only there commands may run among the daemon's processes")
	w := newDownloads(t)
	for name, unconfined := range map[string]bool{
		"in its own PID namespace": false, "among the daemon's processes": true,
	} {
		t.Run(name, func(t *testing.T) {
			w.config.NoProcessSandbox = unconfined
			d := env.StartDaemon(t, w.config)
			path := fmt.Sprintf("/late-%t", unconfined)
			late := "downloader late " + w.https + path
			var s answering
			log, err := s.build(t, d, w.dockerfile(t,
				late+" >/log 2>&1 & until grep opened /log; do sleep 0.1; done"), "")
			require.NoError(t, err, log)
			require.True(t, harness.Poll(time.Minute, func() bool {
				return len(processesOf("downloader", "late", w.https+path)) == 0
			}), "it ends by itself")
			require.Equal(t, unconfined, w.got(path))
			require.Empty(t, s.asked)
		})
	}
}

// Without a network of its own, a rootless daemon lacks the right to make the proxy's devices. A
// failed try leaves a thread of the daemon in a network namespace of the proxy, and later tries on
// that thread succeed. So commands begin at random, but have no other network than the proxy.
func TestTheBuildProxyOfARootlessDaemonInTheHostsNetwork(t *testing.T) {
	env.NeedsRootless(t, "one with root has the right to make devices")
	w := newDownloads(t)
	w.config.InHostNetwork = true
	d := env.StartDaemon(t, w.config)
	address, reached := lineServer(t)
	without := answering{raw: true}
	log, err := without.build(t, d, w.dockerfile(t, "downloader tcp "+address), "")
	require.NoError(t, err, log)
	require.True(t, reached(), log)

	address, reached = lineServer(t)
	for i := range 10 {
		var s answering
		command := fmt.Sprintf("echo %d; ! downloader tcp %s && ! downloader get %s/refused",
			i, address, w.http)
		log, err := s.build(t, d, w.dockerfile(t, command), "/refused")
		if i == 0 {
			require.ErrorContains(t, err, "operation not permitted")
		}
		t.Log(log, err)
	}
	require.False(t, reached())
	require.False(t, w.got("/refused"))
}
