package guard

import (
	"os"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestTheEntitlementsOfABuild(t *testing.T) {
	t.Parallel()
	l := layersOf(t, "dispatch: mediate\nbuild: {exec: {networks: [host], devices: [a/b=1]}}")
	granted, err := entitlements(l, []string{"network.host", "device=a/b=1"})
	require.NoError(t, err)
	require.Len(t, granted, 2)
	for asked, want := range map[string]string{
		"security.insecure":    "no build rules list it (build.exec.insecure)",
		"device":               "no build rules list it (build.exec.devices)",
		"device=a/c":           "no build rules list it (build.exec.devices)",
		"device=a/c,alias=a/b": "by another name than its own",
		"future":               "isn't known",
	} {
		_, err := entitlements(l, []string{"network.host", asked})
		require.ErrorContains(t, err, want)
	}
}

func TestAnEntitlementNeedsAFrontendThatMayHaveIt(t *testing.T) {
	t.Parallel()
	l := layersOf(t, `dispatch: mediate
frontends:
  - {name: plain, match: [docker/dockerfile]}
  - {name: host, match: [x/y], build: {exec: {networks: [host]}}}`)
	host, err := buildrules.ParseEntitlement("network.host")
	require.NoError(t, err)
	b := &build{entitlements: []buildrules.Entitlement{host}}
	decided := func(name string) policy.Decision {
		ref, err := imageref.Parse(name)
		require.NoError(t, err)
		return policy.Decide(l, policy.Request{Requested: name, Reference: ref})
	}
	require.NoError(t, b.entitled(decided("x/y")))
	require.ErrorContains(t, b.entitled(decided("docker/dockerfile")),
		`the build has the entitlement network.host, which the build rules for rule "plain"`)
	require.NoError(t, (&build{}).entitled(decided("docker/dockerfile")))
}

// The daemon gets an entitlement that some rule can have, and runs no frontend of another rule.
func TestAnEntitlementIsForOneRule(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	require.NoError(t, os.WriteFile(g.policy.path, []byte(`version: 1
frontends:
  - {name: plain, match: [docker/dockerfile]}
  - {name: host, match: [x/y], dispatch: mediate, build: {exec: {networks: [host]}}}
`), 0o600))
	conn := as(t, g, "alice")
	_, err := controlapi.NewControlClient(conn).Solve(of(t), &controlapi.SolveRequest{
		Ref: "b", Entitlements: []string{"security.insecure"},
	})
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "denied by policy")
	ctx := of(t)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{
			Ref: "b", Entitlements: []string{"network.host"},
		})
	}()
	solve := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
	require.Equal(t, []string{"network.host"}, solve.Entitlements)
	_, err = gwpb.NewLLBBridgeClient(conn).Solve(of(t, buildIDHeader, "b"),
		asking("docker/dockerfile:1"))
	require.ErrorContains(t, err, "the build has the entitlement network.host")
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.SolveRequest); ok {
			require.Empty(t, r.Frontend, "no frontend runs")
		}
	}
}

// LLB that no frontend made is held to it too.
func TestLLBNeedsItsEntitlementsInTheRules(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	require.NoError(t, os.WriteFile(g.policy.path, []byte(`version: 1
llb: allow
build: {exec: {secrets: [a]}}
frontends:
  - {name: host, match: [x/y], dispatch: mediate, build: {exec: {networks: [host]}}}
`), 0o600))
	conn := as(t, g, "alice")
	ctx := of(t)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{
			Ref: "b", Entitlements: []string{"network.host"},
		})
	}()
	d.await(t, "Solve")
	_, err := gwpb.NewLLBBridgeClient(conn).Solve(of(t, buildIDHeader, "b"),
		solving(command(t, "busybox")))
	require.ErrorContains(t, err, "the build has the entitlement network.host, which the build rules "+
		"of the policy don't list")
}
