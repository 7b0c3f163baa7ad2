package guard

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// callsAbout are the calls that a client makes about the build b in parallel with the request.
func callsAbout(t *testing.T, conn *grpc.ClientConn) (ping, status func() error) {
	t.Helper()
	ping = func() error {
		_, err := gwpb.NewLLBBridgeClient(conn).Ping(of(t, buildIDHeader, "b"), &gwpb.PingRequest{})
		return err
	}
	status = func() error {
		s, err := controlapi.NewControlClient(conn).Status(of(t), &controlapi.StatusRequest{Ref: "b"})
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}
	return ping, status
}

// A client asks for a build, and makes calls about it at the same time. It shows the error that it
// gets first.
func TestCallsAboutARefusedBuildEndWithItsRefusal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		req  *controlapi.SolveRequest
		text string
	}{
		"the request is refused": {
			&controlapi.SolveRequest{Ref: "b", Entitlements: []string{"network.host"}},
			"the policy refuses the entitlement",
		},
		"the request asks for what is never allowed": {
			&controlapi.SolveRequest{Ref: "b", CompatibilityVersion: 10},
			"it asks for the version 10 of BuildKit's behaviour",
		},
		"it asks for the build proxy, and no rule is about downloads": {
			&controlapi.SolveRequest{Ref: "b", ProxyNetwork: true},
			"it asks for BuildKit's build proxy",
		},
		"the frontend in it is refused before the daemon is asked": {
			&controlapi.SolveRequest{
				Ref: "b", Frontend: "gateway.v0", Session: "s",
				FrontendAttrs: map[string]string{"source": "docker/dockerfile:1", "device": "gpu"},
			},
			"it asks for devices",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemon(t)
			d.waits = true
			conn := as(t, g, "alice")
			ping, status := callsAbout(t, conn)
			pinged, followed := make(chan error, 1), make(chan error, 1)
			go func() { pinged <- ping() }()
			go func() { followed <- status() }()
			require.Eventually(t, func() bool {
				g.builds.mu.Lock()
				defer g.builds.mu.Unlock()
				for _, w := range g.builds.wait {
					return w.calls == 2
				}
				return false
			}, soon, time.Millisecond)

			_, refusal := controlapi.NewControlClient(conn).Solve(of(t), tc.req)
			require.ErrorContains(t, refusal, tc.text)
			require.Equal(t, refusal.Error(), (<-pinged).Error(), "a call that waited")
			require.ErrorIs(t, <-followed, io.EOF, "progress that waited")
			require.Equal(t, refusal.Error(), ping().Error(), "a call that came later")
			require.ErrorIs(t, status(), io.EOF, "progress that came later")
			require.Empty(t, d.pings())
		})
	}
}

func TestTheIDOfARefusedBuildCanBeThatOfAnother(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	conn := as(t, g, "alice")
	solve := func(entitlements ...string) error {
		_, err := controlapi.NewControlClient(conn).Solve(of(t),
			&controlapi.SolveRequest{Ref: "b", Entitlements: entitlements})
		return err
	}
	ping, _ := callsAbout(t, conn)
	require.Error(t, solve("network.host"))
	require.Error(t, ping())
	go func() { _ = solve() }() // until the test ends
	d.await(t, "Control/Solve")
	require.NoError(t, ping())
	require.ErrorContains(t, solve(), "a build with this id is under way")
	require.NoError(t, ping(), "the refused one wasn't this one")
}

func TestFewRefusedBuildsAreRemembered(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	why := errors.New(strings.Repeat("x", 1000))
	for i := range 3 * maxRefusedBuilds {
		g.refuseBuild("alice", fmt.Sprint(i), why)
	}
	require.Len(t, g.builds.refused, maxRefusedBuilds)
	require.Greater(t, g.Memory(), int64(maxRefusedBuilds*1000), "their memory counts")
	g.refuseBuild("bob", "bobs", why)
	require.Len(t, g.builds.refused, maxRefusedBuilds+1)

	require.Eventually(t, func() bool { return g.Memory() == 0 }, time.Minute, time.Millisecond)
	g.builds.mu.Lock()
	defer g.builds.mu.Unlock()
	require.Empty(t, g.builds.refused)
}

func TestARefusedBuildIsRememberedOnlyIfThereIsMemory(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	full := g.memory.open("alice")
	full.take(t.Context(), int(g.memory.each)) //nolint:errcheck // there is as much
	g.refuseBuild("alice", "b", errors.New("x"))
	require.Empty(t, g.builds.refused)
}
