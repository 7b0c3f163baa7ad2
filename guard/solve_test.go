package guard

import (
	"context"
	"maps"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func TestWhatABuildAsksForBesideItsFrontend(t *testing.T) {
	t.Parallel()
	attrs := func(pairs ...string) *controlapi.SolveRequest {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return &controlapi.SolveRequest{FrontendAttrs: m}
	}
	exporter := func(kind string, pairs ...string) *controlapi.SolveRequest {
		return &controlapi.SolveRequest{Exporters: []*controlapi.Exporter{{
			Type: kind, Attrs: attrs(pairs...).FrontendAttrs,
		}}}
	}
	cache := func(c *controlapi.CacheOptions) *controlapi.SolveRequest {
		return &controlapi.SolveRequest{Cache: c}
	}
	entry := func(kind string) []*controlapi.CacheOptionsEntry {
		return []*controlapi.CacheOptionsEntry{{Type: kind}}
	}
	rule := func(r *spb.Rule) *controlapi.SolveRequest {
		return &controlapi.SolveRequest{SourcePolicy: &spb.Policy{Rules: []*spb.Rule{r}}}
	}
	for name, tc := range map[string]struct {
		req  *controlapi.SolveRequest
		want *controlapi.SolveRequest // nil if it is refused
		why  string
	}{
		"nothing":        {attrs(), attrs(), ""},
		"a local result": {exporter("local", "mode", "copy"), exporter("local", "mode", "copy"), ""},
		"a part of the result": {
			exporter("tar", "src", "/out"), exporter("tar", "src", "/out"), "",
		},
		"a part of a result that is an image": {exporter("oci", "src", "/out"), nil, "the attribute src"},
		"a pushed image": {
			exporter("image", "push", "true"), nil, "pushing an image without a name (exports.push)",
		},
		"an unknown target": {exporter("future"), nil, "a result of the type future"},
		"an exporter's configuration of the image": {
			exporter("oci", "containerimage.config", "{}"), nil, "the attribute containerimage.config",
		},
		"an exporter's list of platforms": {
			exporter("oci", "refs.platforms", "{}"), nil, "the attribute refs.platforms",
		},
		"an exporter in the old form": {
			&controlapi.SolveRequest{
				ExporterDeprecated:      "tar",
				ExporterAttrsDeprecated: map[string]string{"mode": "x"},
			}, exporter("tar", "mode", "x"), "",
		},
		"a pushed image in the old form": {
			&controlapi.SolveRequest{ExporterDeprecated: "image"}, nil, "own image store (exports.store)",
		},
		"an attribute in the old form": {
			&controlapi.SolveRequest{
				ExporterDeprecated:      "tar",
				ExporterAttrsDeprecated: map[string]string{"containerimage.config": "x"},
			}, nil, "the attribute containerimage.config",
		},
		"an old form beside the new one, which has no effect": {
			&controlapi.SolveRequest{
				ExporterDeprecated:      "image",
				ExporterAttrsDeprecated: map[string]string{"push": "true"},
				Exporters:               []*controlapi.Exporter{{Type: "tar"}},
			}, exporter("tar"), "",
		},
		"options that only the history shows": {
			attrs("filename", "x", "build-arg:A", "b", "vcs:source", "y", "context:z", "w", "hostname", "h"),
			attrs("filename", "x", "build-arg:A", "b", "vcs:source", "y", "context:z", "w", "hostname", "h"),
			"",
		},
		"options that nobody knows": {
			attrs("target", "x", "source", "y", "build-arg:POLICY_FRONTEND_POLICY", "p", "future", "f"),
			attrs("target", "x"), "",
		},
		"provenance as buildx asks for it": {
			attrs("attest:provenance", "mode=min,inline-only=true"),
			attrs("attest:provenance", "mode=min,inline-only=true"), "",
		},
		"a builder of the client's choice": {
			attrs("attest:provenance", "mode=max,builder-id=https://trusted.example"), nil,
			"the parameter builder-id",
		},
		"a claim that the build is reproducible": {
			attrs("attest:provenance", "reproducible=true"), nil, "the parameter reproducible",
		},
		"provenance in another spelling": {
			attrs("attest:PROVENANCE", "builder-id=x"), nil, "write attest:provenance",
		},
		"provenance by a build-arg": {
			attrs("build-arg:BUILDKIT_ATTEST_PROVENANCE", "builder-id=x"), nil,
			"write attest:provenance",
		},
		"an SBOM by a generator of the client's choice": {
			attrs("attest:sbom", "generator=evil"), nil,
			"the policy refuses an SBOM by docker.io/library/evil:latest (sbom.generators)",
		},
		"an SBOM by a build-arg": {attrs("build-arg:BUILDKIT_ATTEST_SBOM", ""), nil, "write attest:sbom"},
		"an inline cache": {
			cache(&controlapi.CacheOptions{Exports: entry("inline")}),
			cache(&controlapi.CacheOptions{Exports: entry("inline")}), "",
		},
		"an exported cache": {
			cache(&controlapi.CacheOptions{Exports: entry("s3")}), nil,
			"exporting a build cache of the type s3",
		},
		"an exported cache in the old form": {
			cache(&controlapi.CacheOptions{ExportRefDeprecated: "x"}), nil, "exporting the build cache to docker.io/library/x:latest",
		},
		"an imported cache": {
			cache(&controlapi.CacheOptions{Imports: entry("local")}), nil,
			"importing a build cache in a directory",
		},
		"an imported cache in the old form": {
			cache(&controlapi.CacheOptions{ImportRefsDeprecated: []string{"x"}}), nil,
			"importing the build cache docker.io/library/x:latest",
		},
		"exporters of the session": {
			&controlapi.SolveRequest{EnableSessionExporter: true}, nil, "chosen by the client",
		},
		"a session policy": {
			&controlapi.SolveRequest{SourcePolicySession: "x"}, nil, "a session policy of its own",
		},
		"BuildKit's current behaviour": {
			&controlapi.SolveRequest{CompatibilityVersion: 30},
			&controlapi.SolveRequest{CompatibilityVersion: 30}, "",
		},
		"old behaviour": {
			&controlapi.SolveRequest{CompatibilityVersion: 20}, nil,
			"it asks for the version 20 of BuildKit's behaviour, and builds are judged by the version 30 " +
				"only; ask for 30 or for no version (compatibility-version)",
		},
		"behaviour of a later BuildKit": {
			&controlapi.SolveRequest{CompatibilityVersion: 40}, nil, "the version 40 of",
		},
		// The daemon takes the lower bits on a machine with 32.
		"a version that is the current one in its lower bits": {
			&controlapi.SolveRequest{CompatibilityVersion: 1<<32 + 30}, nil, "the version 4294967326 of",
		},
		"no version in its lower bits": {
			&controlapi.SolveRequest{CompatibilityVersion: 1 << 32}, nil, "the version 4294967296 of",
		},
		"a negative version": {
			&controlapi.SolveRequest{CompatibilityVersion: -30}, nil, "the version -30 of",
		},
		"a source policy that denies": {
			rule(&spb.Rule{Action: spb.PolicyAction_DENY}),
			rule(&spb.Rule{Action: spb.PolicyAction_DENY}), "",
		},
		"a source policy that converts": {
			rule(&spb.Rule{Action: spb.PolicyAction_CONVERT}), nil, "converts sources",
		},
		"a source policy that would change an attribute": {
			rule(&spb.Rule{Action: spb.PolicyAction_ALLOW, Updates: &spb.Update{}}), nil,
			"converts sources",
		},
		"a huge source policy": {
			rule(&spb.Rule{Selector: &spb.Selector{Identifier: string(make([]byte, maxSourcePolicy))}}),
			nil, "more than 262144 bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := rewrite(layersOf(t, ""), tc.req)
			if tc.want == nil {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.NoError(t, err)
			if tc.want.FrontendAttrs == nil {
				tc.want.FrontendAttrs = map[string]string{}
			}
			require.True(t, maps.Equal(tc.want.FrontendAttrs, tc.req.FrontendAttrs), tc.req.FrontendAttrs)
			require.True(t, proto.Equal(tc.want, tc.req), "%v", tc.req)
		})
	}
}

func TestABuildThatIsNotTheCallersOwnIsRefused(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	alice := controlapi.NewControlClient(as(t, g, "alice"))
	bob := controlapi.NewControlClient(as(t, g, "bob"))
	ctx, cancel := context.WithCancel(of(t))
	ended := make(chan error, 1)
	go func() {
		_, err := alice.Solve(ctx, &controlapi.SolveRequest{Ref: "b", Session: "s1", Internal: true})
		ended <- err
	}()
	solve := d.await(t, "Control/Solve").request.(*controlapi.SolveRequest)
	require.Equal(t, "s1", solve.Session)
	require.True(t, solve.Internal)
	client, own := g.names.clientRef("alice", solve.Ref)
	require.Equal(t, "b", client)
	require.True(t, own)
	guards := d.await(t, "Session").headers.Get(sessionID)
	require.Equal(t, []string{solve.SourcePolicySession}, guards)
	require.NotEqual(t, "s1", solve.SourcePolicySession)

	for name, tc := range map[string]struct {
		client controlapi.ControlClient
		req    *controlapi.SolveRequest
		why    string
	}{
		"a build that is under way": {alice, &controlapi.SolveRequest{Ref: "b"}, "is under way"},
		"another's session": {
			bob, &controlapi.SolveRequest{Ref: "b", Session: "s1"}, "belongs to another client",
		},
		"the guard's session": {
			bob, &controlapi.SolveRequest{Ref: "b", Session: guards[0]}, "belongs to another client",
		},
		"a session by its other name": {
			bob, &controlapi.SolveRequest{Ref: "b", Session: "x:s1"}, "other characters",
		},
		"no id": {bob, &controlapi.SolveRequest{}, "build id"},
		"a definition and a frontend": {
			bob, &controlapi.SolveRequest{
				Ref: "b", Definition: &pb.Definition{}, Frontend: "gateway.v0",
			}, "both a frontend and a definition",
		},
		"LLB as an input": {
			bob, &controlapi.SolveRequest{
				Ref: "b", FrontendInputs: map[string]*pb.Definition{"x": {}},
			}, "it has frontend inputs and no frontend",
		},
		"an option that no policy can allow yet, for a frontend": {
			bob, &controlapi.SolveRequest{
				Ref: "b", Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{"cgroup-parent": "/"},
			}, "cgroup-parent",
		},
	} {
		_, err := tc.client.Solve(of(t), tc.req)
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, tc.why, name)
	}
	// Nobody can take the place of the guard's session.
	s, err := bob.Session(of(t, sessionID, guards[0]))
	require.NoError(t, err)
	_, err = s.Recv()
	requireCode(t, codes.PermissionDenied, err)

	cancel()
	require.Error(t, <-ended)
	require.Eventually(t, func() bool {
		g.builds.mu.Lock()
		defer g.builds.mu.Unlock()
		return len(g.builds.live) == 0
	}, soon, 10*time.Millisecond)
}

func TestADaemonThatDoesNotAskAboutEverythingGetsNoBuild(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v0.33.0", "v0.26.3", "v0.34.0-rc1", "", "v0.0.0+unknown", "x"} {
		d, g := newDaemon(t)
		d.version = version
		_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
			&controlapi.SolveRequest{Ref: "b"})
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, "only v0.34.0 and later")
	}
	for _, version := range []string{"v0.34.0", "v0.35.1", "v1.0.0"} {
		d, g := newDaemon(t)
		d.version = version
		require.NoError(t, g.checkDaemon(of(t), g.policy.current()))
	}
}

func TestABuildEndsWithItsPolicySession(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.breakSessions = true
	_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
		&controlapi.SolveRequest{Ref: "b"})
	requireCode(t, codes.Aborted, err)
	require.ErrorContains(t, err, "policy session")
}

func TestACallThatComesBeforeItsBuildIsHeld(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	ref, err := g.names.ref("alice", "b")
	require.NoError(t, err)
	found := make(chan *build, 1)
	go func() {
		b, _ := g.builds.find(t.Context(), ref)
		found <- b
	}()
	require.Eventually(t, func() bool {
		g.builds.mu.Lock()
		defer g.builds.mu.Unlock()
		return len(g.builds.wait) == 1
	}, soon, time.Millisecond)
	b := &build{who: "alice", client: "b", policy: g.policy.current()}
	err = g.begin(t.Context(), b)
	require.NoError(t, err)
	require.Same(t, b, <-found)
	b.end()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.builds.find(ctx, ref)
	require.Error(t, err)
	require.Empty(t, g.builds.wait)
}
