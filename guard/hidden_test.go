package guard

import (
	"context"
	"fmt"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

func TestOnlyABuildThatFindsSomethingOutIsKeptOutOfTheHistory(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		req  *controlapi.SolveRequest
		kept bool
	}{
		"a build without anything": {&controlapi.SolveRequest{}, true},
		"a build that exports": {&controlapi.SolveRequest{
			Exporters: []*controlapi.Exporter{{Type: "local"}},
		}, false},
		"a build that exports in the old form": {&controlapi.SolveRequest{
			ExporterDeprecated: "local",
		}, false},
		"a build that exports its cache": {&controlapi.SolveRequest{Cache: &controlapi.CacheOptions{
			Exports: []*controlapi.CacheOptionsEntry{{Type: "inline"}},
		}}, false},
		"a build with an SBOM, which a step makes": {&controlapi.SolveRequest{
			FrontendAttrs: map[string]string{"attest:sbom": "generator=docker/buildkit-syft-scanner"},
		}, false},
		"a frontend in the request itself": {&controlapi.SolveRequest{Frontend: "dockerfile.v0"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, forwarding+
				"sbom: {generators: {allow: [docker/buildkit-syft-scanner]}}\n", "")
			tc.req.Ref, tc.req.Internal = "b", true
			begunAs(t, d, g, tc.req)
			solve := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
			require.Equal(t, tc.kept, solve.Internal)
		})
	}
	req := &controlapi.SolveRequest{Internal: true, Entitlements: []string{"network.host"}}
	require.False(t, keepHidden(req, nil), "it may run steps with an entitlement")
	require.False(t, keepHidden(&controlapi.SolveRequest{}, nil))
}

func TestABuildThatTheHistoryLeavesOutRunsNoSteps(t *testing.T) {
	t.Parallel()
	reading := solving(definition(t, llb.Git("https://x.example/a.git", "main")))
	running := solving(command(t, "corp.example/base:1"))
	files := solving(definition(t, llb.Scratch().File(llb.Mkdir("/a", 0o755))))
	image := solving(definition(t, llb.Image("corp.example/base:1")))
	const policy = forwarding + "llb: allow\n"
	for name, tc := range map[string]struct {
		req     *gwpb.SolveRequest
		refused bool // in a build that is left out; in others it is allowed
	}{
		"a frontend":                   {asking("docker/dockerfile:1"), true},
		"a frontend without a request": {asking("docker/dockerfile:1", "requestid", ""), true},
		"a frontend that lists its targets": {
			asking("docker/dockerfile:1", "requestid", "targets"), false,
		},
		"a frontend that builds all the same": {
			asking("docker/dockerfile:1", "requestid", "unknown"), true,
		},
		"a command":              {running, true},
		"a repository":           {reading, false},
		"an image":               {image, false},
		"files that are written": {files, false},
		"nothing":                {solving(&pb.Definition{}), false},
	} {
		for _, internal := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, internal %t", name, internal), func(t *testing.T) {
				t.Parallel()
				d, g := newDaemonFor(t, policy, "")
				c, ctx := begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b", Internal: internal})
				_, err := c.Solve(ctx, tc.req)
				if internal && tc.refused {
					requireCode(t, codes.PermissionDenied, err)
					require.ErrorContains(t, err, "keeps this build out of the history")
					return
				}
				require.NoError(t, err)
			})
		}
	}
}

func TestTheSourcePoliciesOfARequestAreBoundedTogether(t *testing.T) {
	t.Parallel()
	_, _, c, ctx := begun(t)
	half := &spb.Policy{Rules: []*spb.Rule{{Selector: &spb.Selector{
		Identifier: string(make([]byte, maxSourcePolicy/2)),
	}}}}
	for why, policies := range map[string][]*spb.Policy{
		"more than 262144 bytes":        {half, half},
		"more than 100 source policies": make([]*spb.Policy, maxSourcePolicies+1),
	} {
		for i, p := range policies {
			if p == nil {
				policies[i] = &spb.Policy{}
			}
		}
		req := asking("docker/dockerfile:1")
		req.SourcePolicies = policies
		_, err := c.Solve(ctx, req)
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, why)
		_, err = c.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
			Source:         &pb.SourceOp{Identifier: "docker-image://docker.io/docker/dockerfile:1"},
			SourcePolicies: policies,
		})
		require.ErrorContains(t, err, why)
	}
	req := asking("docker/dockerfile:1")
	req.SourcePolicies = []*spb.Policy{half, {}}
	_, err := c.Solve(ctx, req)
	require.NoError(t, err)
}

// Other calls use a build as soon as they find it.
func TestABuildThatIsFoundIsWhole(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	for i := range 300 {
		name := fmt.Sprintf("b%d", i)
		ref, err := g.names.ref("alice", name)
		require.NoError(t, err)
		found := make(chan *build)
		go func() {
			for {
				g.builds.mu.Lock()
				b := g.builds.live[ref]
				g.builds.mu.Unlock()
				if b != nil {
					_, stop := b.during(t.Context())
					stop()
					found <- b
					return
				}
			}
		}()
		b := &build{who: "alice", client: name, policy: g.policy.current(), exports: true}
		require.NoError(t, g.begin(t.Context(), b))
		got := <-found
		require.Same(t, b, got)
		b.end()
	}

	// What begins twice ends nothing of the first one.
	first := &build{who: "alice", client: "b", policy: g.policy.current()}
	require.NoError(t, g.begin(t.Context(), first))
	defer first.end()
	require.ErrorContains(t, g.begin(t.Context(), &build{who: "alice", client: "b"}), "under way")
	require.NoError(t, first.ctx.Err())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	again, err := g.builds.find(ctx, first.ref)
	require.NoError(t, err)
	require.Same(t, first, again)
}

func TestTheOptionsOfARequestAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key  string
		most int
	}{
		"options":                 {"a%d", maxOptions},
		"sessions of directories": {"local-sessionid:a%d", maxLocalSessions},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemon(t)
			c, ctx := begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b"})
			req := asking("docker/dockerfile:1")
			for i := range tc.most + 1 {
				req.FrontendOpt[fmt.Sprintf(tc.key, i)] = "s"
			}
			_, err := c.Solve(ctx, req)
			requireCode(t, codes.PermissionDenied, err)
			require.ErrorContains(t, err, fmt.Sprintf("more than %d options", tc.most))
		})
	}
}
