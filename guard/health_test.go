package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/policy"
)

// fresh forgets what the guard knows about the daemon.
func (g *Guard) fresh() {
	g.health.mu.Lock()
	defer g.health.mu.Unlock()
	g.health.at = time.Time{}
}

func TestHealthIsTheGuardsOwn(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := healthpb.NewHealthClient(as(t, g, "alice"))
	check := func() healthpb.HealthCheckResponse_ServingStatus {
		t.Helper()
		resp, err := c.Check(of(t), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
		list, err := c.List(of(t), &healthpb.HealthListRequest{})
		require.NoError(t, err)
		require.Len(t, list.Statuses, 1)
		require.Equal(t, resp.Status, list.Statuses[""].Status)
		return resp.Status
	}
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, check())
	require.NoError(t, g.Ready(t.Context()))
	asked := len(d.all())
	for range 50 { // clients can't have the daemon asked without end
		_, err := c.Check(of(t), &healthpb.HealthCheckRequest{})
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(d.all()), asked+10)

	_, err := c.Check(of(t), &healthpb.HealthCheckRequest{Service: "moby.buildkit.v1.Control"})
	requireCode(t, codes.NotFound, err)

	d.mu.Lock()
	d.failure = errors.New("broken")
	d.mu.Unlock()
	g.fresh()
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, check())
	require.ErrorContains(t, g.Ready(t.Context()), "the daemon doesn't answer: broken")

	d.mu.Lock()
	d.failure, d.version = nil, "v0.33.0"
	d.mu.Unlock()
	g.fresh()
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, check())
	require.ErrorContains(t, g.Ready(t.Context()), "buildkitd v0.33.0")

	g.acceptOldDaemon = true
	g.fresh()
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, check())

	w, err := c.Watch(of(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	first, err := w.Recv()
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, first.Status)
	require.Zero(t, g.Drain(t.Context()))
	_, err = w.Recv()
	requireCode(t, codes.Unavailable, err)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, check())
}

func TestWhatAnOldDaemonLacks(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][]string{
		"v0.34.0":        nil,
		"v0.33.1":        {"git bundles"},
		"v0.31.0":        {"as the client wrote them", "git bundles"},
		"v0.26.3":        {"anything that it reads", "as the client wrote them", "git bundles"},
		"x\x1b[2J":       {"its version isn't known"},
		"v0.34.0-beta.1": {"git bundles"},
	} {
		err := checkVersion(version)
		if want == nil {
			require.NoError(t, err, version)
			continue
		}
		var old *OldDaemonError
		require.ErrorAs(t, err, &old, version)
		require.Len(t, old.Lacks, len(want), version)
		for i, what := range want {
			require.Contains(t, old.Lacks[i], what)
			require.ErrorContains(t, err, what)
		}
		require.NotContains(t, err.Error(), "\x1b")
	}
}

func TestAnOldDaemonBuildsIfItIsAccepted(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.version = "v0.33.0"
	require.Error(t, g.checkDaemon(of(t), g.policy.current()))
	g.acceptOldDaemon = true
	require.NoError(t, g.checkDaemon(of(t), g.policy.current()))
	require.Error(t, g.CheckDaemon(of(t)))
	d.failure = errors.New("broken")
	require.Error(t, g.checkDaemon(of(t), g.policy.current()),
		"a daemon that doesn't answer is never accepted")
}

func TestNoBuildBeginsWhenTheGuardEnds(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := as(t, g, "alice")
	control := controlapi.NewControlClient(c)
	ctx, cancel := context.WithCancel(of(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := control.Solve(ctx, &controlapi.SolveRequest{Ref: "b"})
		ended <- err
	}()
	d.await(t, "Solve")
	soon, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	require.Equal(t, 1, g.Drain(soon), "the build goes on")

	_, err := control.Solve(of(t), &controlapi.SolveRequest{Ref: "late"})
	requireCode(t, codes.Unavailable, err)
	require.ErrorContains(t, err, "policy-guard is ending")
	// A build under way gets on.
	_, err = gwpb.NewLLBBridgeClient(c).Solve(of(t, buildIDHeader, "b"), &gwpb.SolveRequest{
		Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": "docker/dockerfile:1"},
		AllowResultReturn: true, AllowResultArrayRef: true,
	})
	require.NoError(t, err)

	drained := make(chan int, 1)
	go func() { drained <- g.Drain(t.Context()) }()
	cancel()
	require.Error(t, <-ended)
	require.Zero(t, <-drained)
	require.Zero(t, g.Drain(t.Context()), "again")
}

func TestDecisionsAndRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	log, text := textLog()
	seen := &observed{}
	g.log, g.observe = log, seen
	c := as(t, g, "alice\nlevel=INFO msg=forged \x1b[2J")
	ctx, cancel := context.WithCancel(of(t))
	defer cancel()
	go func() {
		_, _ = controlapi.NewControlClient(c).Solve(ctx, &controlapi.SolveRequest{Ref: "b"})
	}()
	ask := func(source string) error {
		_, err := gwpb.NewLLBBridgeClient(c).Solve(of(t, buildIDHeader, "b"), &gwpb.SolveRequest{
			Frontend: "gateway.v0", FrontendOpt: map[string]string{
				"source": source, "build-arg:TOKEN": "hunter2",
			},
			AllowResultReturn: true, AllowResultArrayRef: true,
		})
		return err
	}
	require.NoError(t, ask("docker/dockerfile:1"))
	require.Contains(t, text.String(), "msg=decided")
	require.Contains(t, text.String(), " build=b verdict=allow frontend=docker/dockerfile:1")
	require.Contains(t, text.String(), " rule=dockerfile ")
	require.Contains(t, text.String(), " policy=sha256:")
	require.Len(t, seen.decided, 1)

	require.Error(t, ask("evil/frontend:1"))
	require.Contains(t, text.String(), `msg=refused`)
	require.Contains(t, text.String(), `what=/moby.buildkit.v1.frontend.LLBBridge/Solve rule=default `+
		`why="no rule allows evil/frontend:1" build=b`)
	require.Error(t, c.Invoke(of(t), "/x/"+strings.Repeat("y", 5000), &gwpb.PingRequest{},
		&gwpb.PongResponse{}))
	require.Equal(t, []string{"default Solve", GuardsRule + " other"}, seen.refusals)

	require.Equal(t, 3, strings.Count(text.String(), "\n"), text)
	require.NotContains(t, text.String(), "\x1b")
	require.NotContains(t, text.String(), "hunter2")
	require.NotContains(t, text.String(), "\nlevel=INFO msg=forged")
	for line := range strings.Lines(text.String()) {
		require.Less(t, len(line), 2000)
	}
}

func TestRefusalsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	log, text := textLog()
	seen := &observed{}
	g.log, g.observe = log, seen
	now := time.Now()
	g.refusals.clock = func() time.Time { return now }
	for range 1000 {
		g.logRefusal("mallory", aSource, errors.New("why"))
	}
	g.logRefusal("bob", aSource, errors.New("why"))
	require.Equal(t, maxRefusalLines+1, strings.Count(text.String(), "\n"))
	require.Contains(t, text.String(), "client=bob")
	require.Len(t, seen.refusals, 1001)
	now = now.Add(refusalPeriod)
	g.logRefusal("mallory", aSource, errors.New("why"))
	require.Contains(t, text.String(), "omitted=980")
}

func TestARuleOfAnOverlayHasNoNameInMetrics(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a", RuleOf(policy.Decision{Rule: "a", Layer: policy.LayerPolicy}))
	require.Equal(t, OverlaysRule, RuleOf(policy.Decision{Rule: "a", Layer: policy.LayerOverlay}))
}

func TestARefusalNamesTheRuleOfThePolicy(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte("version: 1\nfrontends: [{match: [a/b]}]\n"))
	require.NoError(t, err)
	layers, err := policy.Stack(p, nil)
	require.NoError(t, err)
	ruling := policy.Ruling{Verdict: policy.Deny, Rule: "exports.allow", Layer: policy.LayerPolicy}
	require.Equal(t, "exports.allow", ruleBehind(denied(layers, ruling)))
	ruling.Layer = policy.LayerOverlay
	require.Equal(t, OverlaysRule, ruleBehind(denied(layers, ruling)))
	require.Equal(t, GuardsRule, ruleBehind(errors.New("x")))
	denial := &frontend.DenialError{Decision: policy.Decision{Rule: "r"}}
	require.Equal(t, "r", ruleBehind(fmt.Errorf("x: %w", denial)))
}

func TestTheLogHasNoSecretsOfURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`it refuses "https://me:pass@git.corp/x.git?token=t#main", and`: `it refuses ` +
			`"https://***@git.corp/x.git?***#main", and`,
		"https://token@git.corp":                    "https://***@git.corp",
		"https://files.corp/x?sig=a&b=c":            "https://files.corp/x?***",
		"docker-image://docker.io/a/b:1@sha256:012": "docker-image://docker.io/a/b:1@sha256:012",
		"git@github.com:a/b.git":                    "git@github.com:a/b.git",
		"ssh://me@host#a@b":                         "ssh://***@host#a@b",
		"a\nb\x1b[2J":                               "a b[2J",
		"no URL: //":                                "no URL: //",
	} {
		require.Equal(t, want, logText(text))
	}
	require.Less(t, len(logText(strings.Repeat("x", 1<<20))), 5000)
}
