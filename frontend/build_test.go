package frontend

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const corpPolicy = `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    tags: ["1", "1.*"]
`

func run(t *testing.T, c client.Client, doc string) (*client.Result, error) {
	t.Helper()
	return runAt(t, c, filepath.Join(t.TempDir(), "policy.yaml"), doc)
}

// runAt serves a build under the policy doc in the file path. If doc is empty, there is no file.
func runAt(t *testing.T, c client.Client, path, doc string) (*client.Result, error) {
	t.Helper()
	if doc != "" {
		require.NoError(t, os.WriteFile(path, []byte(doc), 0o600))
	}
	return Frontend{Policy: PolicyFile(path)}.Build(context.Background(), c)
}

// requireDenial fails the test unless err is a DenialError with the rule and the reason of want,
// which is "RULE: REASON".
func requireDenial(t *testing.T, err error, want string) {
	t.Helper()
	var denial *DenialError
	require.ErrorAs(t, err, &denial)
	require.Equal(t, policy.Deny, denial.Decision.Verdict)
	require.Equal(t, want, denial.Decision.Rule+": "+denial.Decision.Reason)
}

func TestTheRequestedFrontendRunsPinnedByItsDigest(t *testing.T) {
	for name, tc := range map[string]struct {
		file, doc string
		opts      map[string]string
		cmdline   string
	}{
		"second field of cmdline, which wins over the build file": {
			file:    "# syntax=evil/dockerfile:1\nFROM scratch\n",
			opts:    map[string]string{"cmdline": selfRef + " docker/dockerfile:1"},
			cmdline: "docker/dockerfile:1",
		},
		"second field of cmdline with arguments of its own": {
			opts:    map[string]string{"cmdline": selfRef + "  docker/dockerfile:1 --debug x"},
			cmdline: "docker/dockerfile:1 --debug x",
		},
		"BUILDKIT_SYNTAX that names us and then the inner frontend": {
			opts: map[string]string{
				"cmdline":                   selfRef + " docker/dockerfile:1",
				"build-arg:BUILDKIT_SYNTAX": selfRef + " docker/dockerfile:1",
			},
			cmdline: "docker/dockerfile:1",
		},
		"BUILDKIT_SYNTAX that names the inner frontend": {
			opts: map[string]string{
				"cmdline":                   selfRef,
				"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1",
			},
			cmdline: "docker/dockerfile:1",
		},
		"the build file's line when BUILDKIT_SYNTAX is us": {
			file:    "# syntax=docker/dockerfile:1\nFROM scratch\n",
			opts:    map[string]string{"cmdline": selfRef, "build-arg:BUILDKIT_SYNTAX": selfRef},
			cmdline: "docker/dockerfile:1",
		},
		"the build file's line that names us first": {
			file:    "# syntax=" + selfRef + " docker/dockerfile:1\nFROM scratch\n",
			cmdline: "docker/dockerfile:1",
		},
		"the // form": {
			file:    "// syntax=docker/dockerfile:1\n",
			cmdline: "docker/dockerfile:1",
		},
		"the JSON form": {
			file:    `{"syntax": "docker/dockerfile:1"}`,
			cmdline: "docker/dockerfile:1",
		},
		"the policy's default when nothing is asked for": {
			file:    "FROM scratch\n",
			doc:     corpPolicy + "defaultFrontend: docker/dockerfile:1\n",
			cmdline: "docker/dockerfile:1",
		},
		"the policy's default when there is no build file": {
			doc:     corpPolicy + "defaultFrontend: docker/dockerfile:1\n",
			cmdline: "docker/dockerfile:1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.doc == "" {
				tc.doc = corpPolicy
			}
			c := newFake(t, tc.file, tc.opts)
			_, err := run(t, c, tc.doc)
			require.NoError(t, err)
			require.Len(t, c.solved, 1)
			got := c.solved[0]
			require.Equal(t, "gateway.v0", got.Frontend)
			require.Equal(
				t, "registry.corp/policy-frontend:inner-1111111111111111",
				got.FrontendOpt["source"],
			)
			require.Equal(t, tc.cmdline, got.FrontendOpt["cmdline"])
			require.Equal(
				t, "docker-image://docker.io/docker/dockerfile:1@"+digestOne.String(),
				got.FrontendOpt["context:"+got.FrontendOpt["source"]],
			)
			require.NotContains(
				t, got.FrontendOpt, "context:"+selfRef, "a build file may be FROM us",
			)
			require.Contains(t, got.FrontendInputs, "base")
			require.Equal(
				t, []string{"docker-image://docker.io/docker/dockerfile:1@" + digestOne.String()},
				c.pinned,
			)
		})
	}
}

func TestTheInnerFrontendGetsTheClientsOptionsWithoutOwnOnes(t *testing.T) {
	opts := map[string]string{
		"build-arg:FOO": "bar", "platform": "linux/arm64", "unknown-key": "x",
		"frontend.caps": "moby.buildkit.frontend.inputs",
		"context:base":  "docker-image://busybox", "requestid": "frontend.outline",
		"build-arg:BUILDKIT_SYNTAX": selfRef,
		"build-arg:POLICY_FRONTEND_POLICY": "version: 1\nfrontends: [{name: all, match: " +
			"['**']}]\n",
		"build-arg:POLICY_FRONTEND_POLICY_ID": "typo",
	}
	c := newFake(t, "# syntax=docker/dockerfile:1\n", opts)
	before := maps.Clone(c.opts)
	_, err := run(t, c, corpPolicy)
	require.NoError(t, err)
	source := c.solved[0].FrontendOpt["source"]
	require.Equal(t, map[string]string{
		"build-arg:FOO": "bar", "platform": "linux/arm64", "unknown-key": "x",
		"frontend.caps": "moby.buildkit.frontend.inputs",
		"context:base":  "docker-image://busybox", "requestid": "frontend.outline",
		"source": source, "cmdline": "docker/dockerfile:1",
		"context:" + source: "docker-image://docker.io/docker/dockerfile:1@" + digestOne.String(),
	}, c.solved[0].FrontendOpt)
	require.Equal(t, before, c.opts, "the client's own map must not change")
	require.Len(t, c.warned, 1)
	require.Contains(t, c.warned[0], "POLICY_FRONTEND_POLICY_ID")
}

func TestTheDecisionIsInTheResultsMetadata(t *testing.T) {
	res, err := run(t, newFake(t, "# syntax=docker/dockerfile:1\n", nil), corpPolicy)
	require.NoError(t, err)
	var d map[string]any
	require.NoError(t, json.Unmarshal(res.Metadata["frontend.policy.decision"], &d))
	require.Equal(t, "allow", d["verdict"])
	require.Equal(t, "docker/dockerfile:1", d["requested"])
	require.Equal(t, "docker.io/docker/dockerfile:1@"+digestOne.String(), d["source"])
	require.Equal(t, "dockerfile", d["rule"])
}

func TestARefusedFrontendDoesNotRun(t *testing.T) {
	const syntax = "# syntax=docker/dockerfile:1\n"
	const pinnedOne = "docker-image://docker.io/docker/dockerfile:1@" + string(digestOne)
	convert := func(from, to string, attrs map[string]string) *sourcepolicy.Engine {
		return sourcepolicy.NewEngine([]*spb.Policy{{Version: 1, Rules: []*spb.Rule{{
			Action:   spb.PolicyAction_CONVERT,
			Selector: &spb.Selector{Identifier: from, MatchType: spb.MatchType_WILDCARD},
			Updates:  &spb.Update{Identifier: to, Attrs: attrs},
		}}}})
	}
	for name, tc := range map[string]struct {
		file, doc string
		noPolicy  bool
		opts      map[string]string
		convert   *sourcepolicy.Engine
		old       bool
		want      string
	}{
		"a repository that no rule names": {
			file: "# syntax=evil/dockerfile:1\n",
			want: "default: no rule allows evil/dockerfile:1",
		},
		"BUILDKIT_SYNTAX beside a cmdline that is allowed": {
			opts: map[string]string{
				"cmdline":                   selfRef + " docker/dockerfile:1",
				"build-arg:BUILDKIT_SYNTAX": "evil/dockerfile:1",
			},
			want: "default: no rule allows evil/dockerfile:1",
		},
		"ourselves": {
			opts: map[string]string{"cmdline": selfRef + " registry.corp/policy-frontend:other"},
			want: "invariant: it asks the policy frontend to run itself " +
				"(registry.corp/policy-frontend): name the frontend to run instead",
		},
		"a named context over our reference": {
			file: syntax,
			opts: map[string]string{"context:" + selfRef: "docker-image://evil/dockerfile:1"},
			want: `invariant: the named context "registry.corp/policy-frontend:v1" would replace ` +
				`the policy frontend (registry.corp/policy-frontend): build without it, or give ` +
				`it another name`,
		},
		"a named context over our reference for a platform": {
			file: syntax,
			opts: map[string]string{
				"context:" + selfRef + "::linux/amd64": "docker-image://evil/dockerfile:1",
			},
			want: `invariant: the named context "registry.corp/policy-frontend:v1" would replace ` +
				`the policy frontend (registry.corp/policy-frontend): build without it, or give ` +
				`it another name`,
		},
		"a named context over our reference written otherwise": {
			file: syntax,
			opts: map[string]string{
				"context:REGISTRY.corp:443/policy-frontend:v1": "docker-image://evil/dockerfile:1",
			},
			want: `invariant: the named context "REGISTRY.corp:443/policy-frontend:v1" would ` +
				`replace the policy frontend (registry.corp/policy-frontend): build without it, ` +
				`or give it another name`,
		},
		"an image that a client's source policy converts": {
			file: syntax,
			convert: convert(
				"docker-image://docker.io/docker/dockerfile*",
				"docker-image://docker.io/evil/dockerfile:1", nil,
			),
			want: `invariant: no source policy of the client may replace its image: source ` +
				`"docker-image://docker.io/evil/dockerfile:1" denied by policy: source denied by ` +
				`policy`,
		},
		"an image that is converted only once it is pinned": {
			file:    syntax,
			convert: convert("*@sha256:*", "docker-image://docker.io/evil/dockerfile:1", nil),
			want: `invariant: no source policy of the client may replace its image: source ` +
				`"docker-image://docker.io/evil/dockerfile:1" denied by policy: source denied by ` +
				`policy`,
		},
		"an image of which a conversion cuts layers off": {
			file:    syntax,
			convert: convert(pinnedOne, pinnedOne, map[string]string{"image.layerlimit": "1"}),
			want: `invariant: no source policy of the client may replace its image: source ` +
				`"` + pinnedOne + `" denied by policy: source denied by policy`,
		},
		"a tag that the registry does not have": {
			file: "# syntax=docker/dockerfile:1.99\n",
			want: "invariant: its image can't be read: " +
				"docker-image://docker.io/docker/dockerfile:1.99: not found",
		},
		"a frontend on a daemon that resolves without a guard": {
			file: syntax,
			old:  true,
			want: "invariant: this BuildKit can't resolve a frontend under a source policy; use " +
				"v0.14 or later: requested experimental feature source.metaresolver (source meta " +
				"resolver) is not supported by build server, please update ",
		},
		"a digest on a daemon that resolves without a guard": {
			file: "# syntax=docker/dockerfile@" + string(digestOne) + "\n",
			doc:  "version: 1\nfrontends: [{match: [docker/dockerfile]}]\n",
			old:  true,
			want: "invariant: this BuildKit can't resolve a frontend under a source policy; use " +
				"v0.14 or later: requested experimental feature source.metaresolver (source meta " +
				"resolver) is not supported by build server, please update ",
		},
		"any frontend when the image holds no policy": {
			file:     syntax,
			noPolicy: true,
			want: "invariant: this policy frontend image holds no policy: add one as " +
				"DIR/policy.yaml (FROM this image, COPY policy.yaml DIR/policy.yaml)",
		},
		"any frontend when the image's policy is broken": {
			file: syntax,
			doc:  "version: 1\nfrontend: []\n",
			want: "invariant: the policy of this image, in DIR, is broken; tell its " +
				"maintainer:\npolicy.yaml:2:1: unknown field \"frontend\"; did you mean " +
				"\"frontends\"?",
		},
		"any frontend when the overlay is broken": {
			file: syntax,
			opts: map[string]string{"build-arg:POLICY_FRONTEND_POLICY": "version: 1\nfoo: 1\n"},
			want: "invariant: the policy sent as build-arg POLICY_FRONTEND_POLICY can't be " +
				"used:\nPOLICY_FRONTEND_POLICY:2:1: unknown field \"foo\"",
		},
		"any frontend when the overlay is empty": {
			file: syntax,
			opts: map[string]string{"build-arg:POLICY_FRONTEND_POLICY": ""},
			want: "invariant: the policy sent as build-arg POLICY_FRONTEND_POLICY can't be " +
				"used:\nPOLICY_FRONTEND_POLICY: the document is empty; a policy begins with " +
				"version: 1",
		},
		"a frontend that the overlay does not allow": {
			file: syntax,
			opts: map[string]string{"build-arg:POLICY_FRONTEND_POLICY": "version: 1\nid: team\n"},
			want: "default: the overlay decided: no rule allows docker/dockerfile:1",
		},
		"any overlay when the policy takes none": {
			file: syntax,
			doc:  corpPolicy + "overlay: {accept: none}\n",
			opts: map[string]string{"build-arg:POLICY_FRONTEND_POLICY": "version: 1\nid: team\n"},
			want: `invariant: the policy "corp-ci" accepts no overlay (overlay: {accept: none}); ` +
				`build without one`,
		},
		"a directive that is no reference": {
			file: "# syntax=docker/dockerfile:1@sha256:12\n",
			want: `invariant: "docker/dockerfile:1@sha256:12" is not an image reference: invalid ` +
				`reference format`,
		},
		"a build that asks for nothing, and no default": {
			file: "FROM scratch\n",
			want: "invariant: the build asks for no frontend: begin the build file with `# " +
				"syntax=REFERENCE`, or set BUILDKIT_SYNTAX to the policy frontend's reference, a " +
				"space, and REFERENCE",
		},
		"a build without a file and without a directive": {
			want: "invariant: the build asks for no frontend: begin the build file with `# " +
				"syntax=REFERENCE`, or set BUILDKIT_SYNTAX to the policy frontend's reference, a " +
				"space, and REFERENCE (the build file could not be read: failed to read " +
				"dockerfile: open Dockerfile: no such file or directory)",
		},
		"arguments that never end": {
			opts: map[string]string{
				"cmdline": selfRef + " docker/dockerfile:1 " + strings.Repeat("x", 5000),
			},
			want: "invariant: the directive has 5020 bytes, more than 4096",
		},
		"arguments with control characters": {
			opts: map[string]string{"cmdline": selfRef + " docker/dockerfile:1 \x1b[2J"},
			want: "invariant: the directive \"docker/dockerfile:1 \\x1b[2J\" has characters that " +
				"can't be printed",
		},
		"a named context over us on an IPv6 host": {
			file: syntax,
			opts: map[string]string{
				"source": "[::1]:5000/policy-frontend:v1",
				"context:[::1]:5000/policy-frontend:v1::linux/s390x": "docker-image://x",
			},
			want: `invariant: the named context "[::1]:5000/policy-frontend:v1" would replace ` +
				`the policy frontend ([::1]:5000/policy-frontend): build without it, or give it ` +
				`another name`,
		},
		"a source option that is no reference": {
			file: syntax,
			opts: map[string]string{"source": "::"},
			want: `invariant: the source option :: isn't a reference of the policy frontend: ` +
				`"::" is not an image reference: invalid reference format`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFake(t, tc.file, tc.opts)
			c.convert, c.oldDaemon = tc.convert, tc.old
			doc := tc.doc
			if doc == "" && !tc.noPolicy {
				doc = corpPolicy
			}
			path := filepath.Join(t.TempDir(), "policy.yaml")
			_, err := runAt(t, c, path, doc)
			requireDenial(t, err, strings.ReplaceAll(tc.want, "DIR", filepath.Dir(path)))
			require.Empty(t, c.solved)
		})
	}
}

func TestTheRegistryIsNotAskedAboutARefusedName(t *testing.T) {
	c := newFake(t, "# syntax=evil/dockerfile:1\n", nil)
	_, err := run(t, c, corpPolicy)
	requireDenial(t, err, "default: no rule allows evil/dockerfile:1")
	require.Empty(t, c.resolved)
	require.Empty(t, c.pinned)
}

func TestATagWithADigestMustPointToIt(t *testing.T) {
	c := newFake(t, "# syntax=docker/dockerfile:1@"+digestTwo.String()+"\n", nil)
	_, err := run(t, c, corpPolicy)
	require.ErrorContains(t, err, digestTwo.String())
	require.Empty(t, c.solved)

	c = newFake(t, "# syntax=docker/dockerfile:1@"+digestOne.String()+"\n", nil)
	_, err = run(t, c, corpPolicy)
	require.NoError(t, err)
	require.Len(t, c.solved, 1)
}

// The gateway must find the named context under the key that standIn makes.
func TestTheNamedContextIsWhereTheGatewayLooks(t *testing.T) {
	for _, source := range []string{
		"policy-frontend", "policy-frontend:latest", "corp/policy-frontend:v1",
		"docker.io/library/policy-frontend", "localhost:5000/policy-frontend",
		"[::1]:5000/policy-frontend:v1", "registry.corp/a/b:v1@" + digestOne.String(),
		"registry.corp/a/b@" + digestOne.String(),
	} {
		t.Run(source, func(t *testing.T) {
			name, err := standIn(source, digestOne)
			require.NoError(t, err)
			dc, err := dockerui.NewClient(&fakeClient{
				opts: map[string]string{"context:" + name: "docker-image://inner"},
			})
			require.NoError(t, err)
			nc, err := dc.NamedContext(name, dockerui.ContextOpt{})
			require.NoError(t, err)
			require.NotNil(t, nc)
		})
	}
}

// The gateway writes these two options itself before it starts a frontend.
func TestOptionsThatTheGatewayDerivesAreNotTakenForTheClients(t *testing.T) {
	c := newFake(t, "# syntax=docker/dockerfile:1\n", map[string]string{
		"build-arg:BUILDKIT_SANDBOX_HOSTNAME": "box", "hostname": "box",
		"build-arg:BUILDKIT_MULTI_PLATFORM": "1", "multi-platform": "true",
	})
	_, err := run(
		t, c,
		"version: 1\nfrontends:\n  - match: [docker/dockerfile]\n    options: {strip: "+
			"[\"build-arg:BUILDKIT_SANDBOX_*\"], only: [\"build-arg:*\", multi-platform]}\n",
	)
	require.NoError(t, err)
	require.NotContains(t, c.solved[0].FrontendOpt, "hostname")
	require.NotContains(t, c.solved[0].FrontendOpt, "build-arg:BUILDKIT_SANDBOX_HOSTNAME")
	require.Equal(t, "true", c.solved[0].FrontendOpt["multi-platform"], "the client's own")
}

// The build refuses what Decide refuses under dispatch: builtin, with the same words, and asks the
// registry nothing about it.
func TestBuiltinRefusesWhatDecideRefuses(t *testing.T) {
	t.Parallel()
	const doc = `version: 1
dispatch: builtin
frontends: [{name: df, match: [docker/dockerfile, r.example/spec]}]
`
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(t, err)
	layers, err := policy.Stack(p, nil)
	require.NoError(t, err)
	for _, requested := range []string{
		"docker/dockerfile:2", "docker/dockerfile:experimental", "r.example/spec:1",
		"docker/dockerfile:1@" + digestOne.String(),
	} {
		ref, err := imageref.Parse(requested)
		require.NoError(t, err)
		d := policy.Decide(layers, policy.Request{Requested: requested, Reference: ref})
		require.Equal(t, policy.Deny, d.Verdict)
		c := newFake(t, "# syntax="+requested+"\n", nil)
		_, err = run(t, c, doc)
		requireDenial(t, err, d.Rule+": "+d.Reason)
		require.Empty(t, c.resolved)

		c = newFake(t, "# syntax="+requested+"\n", map[string]string{"requestid": PolicySubrequest})
		res, err := run(t, c, doc)
		require.NoError(t, err)
		require.Equal(t, "1", string(res.Metadata[metaResultStatus]), "the question has the same answer")
		require.Contains(t, string(res.Metadata[metaResultText]), d.Reason)
	}
}

// silentClient is a daemon that never answers, because a server that it asks doesn't.
type silentClient struct {
	*fakeClient
	resolves bool // it answers as long as it isn't asked about an image
}

func (c silentClient) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	if c.resolves {
		return c.fakeClient.Solve(ctx, req)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (c silentClient) ResolveSourceMetadata(
	ctx context.Context, _ *pb.SourceOp, _ sourceresolver.Opt,
) (*sourceresolver.MetaResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWhatThePolicyFrontendReadsHasAnEnd(t *testing.T) {
	t.Parallel()
	const file = "# syntax=docker/dockerfile:1\n"
	for name, resolves := range map[string]bool{"the build file": false, "the frontend's tag": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := silentClient{newFake(t, file, nil), resolves}
			_, err := run(t, c, corpPolicy+"limits: {timeout: 50ms}\n")
			requireDenial(t, err, "invariant: reading the build file and looking up the frontend "+
				"did not end within 50ms, which is as long as the limits allow (limits.timeout)")
		})
	}
}
