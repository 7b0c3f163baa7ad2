package frontend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const mirrorOnly = `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    message: bases come from the mirror
    build:
      images:
        allow: ["mirror.corp/**"]
        convert: [{from: "docker.io/library/**", to: "mirror.corp/library/**"}]
        pins: {"mirror.corp/library/pinned:1": "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
      git: {allow: ["https://git.corp/**"], requireCommit: true}
      http: {allow: ["https://files.corp/**"]}
      exec: {secrets: ["npm"]}
      config: {user: {forbid: ["root"]}}
`

// monitorLayers returns a policy alone.
func monitorLayers(tb testing.TB, doc string) policy.Layers {
	tb.Helper()
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(tb, err)
	layers, err := policy.Stack(p, nil)
	require.NoError(tb, err)
	return layers
}

// monitorOf returns the monitor of docker/dockerfile:1 under a policy.
func monitorOf(tb testing.TB, c *fakeClient, doc string) *monitor {
	tb.Helper()
	layers := monitorLayers(tb, doc)
	ref, err := imageref.Parse("docker/dockerfile:1")
	require.NoError(tb, err)
	d := policy.Decide(layers, policy.Request{
		Requested: "docker/dockerfile:1",
		Reference: ref,
		Digest:    digestOne,
	})
	require.Contains(tb, []policy.Verdict{policy.Allow, policy.Warn}, d.Verdict, d.Reason)
	b := &build{
		client: c,
		opts:   gatewayopts.Parse(c.opts),
		file:   newBuildFile(c),
		layers: layers,
		step:   "sha256:step",
	}
	return b.newMonitor(admitted{
		request:  request{written: "docker/dockerfile:1", ref: ref},
		decision: d,
	})
}

// evilBase is the refusal of evil.corp/base:1 by mirrorOnly.
const evilBase = `dockerfile: rule "dockerfile" refuses the image evil.corp/base:1: ` +
	"it allows only mirror.corp/** (build.images.allow)"

const threeLines = "FROM busybox\nRUN true\nADD https://files.evil/a /\n"

// at attaches a line of threeLines to an operation.
func at(line int32) llb.ConstraintsOpt {
	return llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(threeLines)).Location(
		[]*pb.Range{{Start: &pb.Position{Line: line}, End: &pb.Position{Line: line}}},
	)
}

func marshalState(t *testing.T, st llb.State) *pb.Definition {
	t.Helper()
	def, err := st.Marshal(context.Background())
	require.NoError(t, err)
	return def.ToPB()
}

func TestAnOperationIsRefusedAtItsLine(t *testing.T) {
	t.Parallel()
	exec := func(o ...llb.RunOption) llb.State {
		return llb.Image("mirror.corp/base:1").Run(append(o, llb.Shlex("true"), at(2))...).Root()
	}
	for name, tc := range map[string]struct {
		state  llb.State
		reason string
		line   int
	}{
		"a base image": {
			llb.Image("evil.corp/base:1", at(1)),
			"the image evil.corp/base:1: it allows only mirror.corp/** (build.images.allow)",
			1,
		},
		"a base image after its command": {
			llb.Image("evil.corp/base:1", at(1)).Run(llb.Shlex("true"), at(2)).Root(),
			"the image evil.corp/base:1: it allows only mirror.corp/** (build.images.allow)",
			1,
		},
		"a download": {
			llb.HTTP("https://files.evil/a", at(3)),
			"the download https://files.evil/a: it allows only https://files.corp/** " +
				"(build.http.allow)",
			3,
		},
		"a git repository": {
			llb.Git("https://git.evil/x.git", "v1", at(3)),
			"the git repository https://git.evil/x: it allows only https://git.corp/** " +
				"(build.git.allow) (and 1 more)",
			3,
		},
		"a git branch": {
			llb.Git("https://git.corp/x.git", "main", at(3)),
			"the git repository https://git.corp/x without a commit: ask for one by all of its " +
				"digits (build.git.requireCommit)",
			3,
		},
		"a secret": {
			exec(llb.AddSecret("/s", llb.SecretID("aws"))),
			`a command with the secret "aws": it allows only npm (build.exec.secrets)`,
			2,
		},
		"the ssh agent": {
			exec(llb.AddSSHSocket()),
			`a command with the client's ssh agent "default": it allows none (build.exec.ssh)`,
			2,
		},
		"the host's network": {
			exec(llb.Network(llb.NetModeHost)),
			"a command with the network host: it allows only none or default (build.exec.networks)",
			2,
		},
		"no sandbox": {
			exec(llb.Security(llb.SecurityModeInsecure)),
			"a command without the sandbox (security.insecure) (build.exec.insecure)",
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
			_, err := m.definition(context.Background(), marshalState(t, tc.state))
			var r *refusal
			require.ErrorAs(t, err, &r)
			require.Equal(t, err, m.refused())
			denied := m.build.deny(context.Background(), r)
			requireRefusal(t, err, "dockerfile: rule \"dockerfile\" refuses "+tc.reason)
			require.Contains(
				t, denied.Error(), "frontend docker/dockerfile:1 is refused: "+r.decision.Reason,
			)
			require.Contains(
				t, denied.Error(),
				fmt.Sprintf("\n  requested by: line %d of Dockerfile\n", tc.line),
			)
			srcs := errdefs.Sources(denied)
			require.Len(t, srcs, 1)
			require.Equal(t, threeLines, string(srcs[0].Info.Data))
			require.Equal(t, int32(tc.line), srcs[0].Ranges[0].Start.Line)
		})
	}
}

func TestARefusedBaseImageIsExplained(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
	_, err := m.definition(
		context.Background(), marshalState(t, llb.Image("evil.corp/base:1", at(1))),
	)
	var r *refusal
	require.ErrorAs(t, err, &r)
	policyDigest := m.inner.decision.Policy.Digest.String()
	require.Equal(t,
		`frontend docker/dockerfile:1 is refused: rule "dockerfile" refuses the image evil.corp/base:1: it allows only mirror.corp/** (build.images.allow)
  message:      bases come from the mirror
  requested by: line 1 of Dockerfile
  image:        docker.io/docker/dockerfile:1@`+digestOne.String()+`
  rule:         dockerfile
  policy:       corp-ci `+policyDigest+`
  allowed:      mirror.corp/**
  contact:      #build-help
  outcome:      denied by policy`, m.build.deny(context.Background(), r).Error())
}

func TestAnOperationWithoutALineIsRefusedWithoutOne(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	insecure := &gwpb.InitMessage{Security: pb.SecurityMode_INSECURE}
	for name, tc := range map[string]struct {
		ask  func(m *monitor) error
		want string
	}{
		"an image that is looked up": {func(m *monitor) error {
			_, err := m.source(ctx, &pb.SourceOp{Identifier: "docker-image://evil.corp/base:1"})
			return err
		}, evilBase},
		"the image of a platform": {func(m *monitor) error {
			return m.result(ctx, m.build, &gwpb.Result{
				Metadata: map[string][]byte{
					"containerimage.config":             []byte(`{"config":{"User":"app"}}`),
					"containerimage.config/linux/arm64": []byte(`{}`),
				},
			})
		}, `dockerfile: rule "dockerfile" refuses the image that is built for linux/arm64: ` +
			`its user is "root" (build.config.user.forbid: "root")`},
		"an image that says nothing": {
			func(m *monitor) error { return m.result(ctx, m.build, &gwpb.Result{}) },
			`dockerfile: rule "dockerfile" refuses the image that is built: its user is "root" ` +
				`(build.config.user.forbid: "root")`,
		},
		"a container": {
			func(m *monitor) error {
				return m.container(ctx, &gwpb.NewContainerRequest{}, insecure)
			},
			"build: the policy refuses a container that the frontend starts " +
				"(build.containers)",
		},
		"a definition that can't be read": {func(m *monitor) error {
			_, err := m.definition(ctx, &pb.Definition{Def: make([][]byte, 200_001)})
			return err
		}, "invariant: it asks for a definition that can't be read: the definition has 200001 " +
			"operations, more than 200000, which no rule can allow"},
		"what nobody knows": {
			func(m *monitor) error { return m.refuseUnknown("the moon") },
			"invariant: it asks for the moon, which no rule can allow",
		},
		"a build cache": {func(m *monitor) error {
			return m.cacheImports([]*gwpb.CacheOptionsEntry{
				{Type: "registry", Attrs: map[string]string{"ref": "evil"}},
			})
		}, "invariant: it asks for a build cache of type registry that the client didn't name, " +
			"which no rule can allow"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
			err := tc.ask(m)
			var r *refusal
			require.ErrorAs(t, err, &r)
			requireRefusal(t, err, tc.want)
			require.Equal(t, err, m.refused())
			denied := m.build.deny(ctx, r)
			require.Contains(t, denied.Error(), "requested by: the frontend, which names no line")
			require.Empty(t, errdefs.Sources(denied))
		})
	}
}

func TestTheFrontendsErrorNamesTheLineOfALookup(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
	require.NoError(t, m.refusedFor(errors.New("anything"), false))
	_, err := m.source(context.Background(), &pb.SourceOp{
		Identifier: "docker-image://evil.corp/base:1",
	})
	requireRefusal(t, err, evilBase)
	require.Equal(t, err, m.refusedFor(nil, true))

	line := []*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 2}}}
	inner := errdefs.WithSource(errors.New("inner"), &errdefs.Source{
		Info:   &pb.SourceInfo{Filename: "a\x1b[2Jb", Data: []byte(threeLines)},
		Ranges: line,
	})
	var r *refusal
	require.ErrorAs(t, m.refusedFor(inner, false), &r)
	denied := m.build.deny(context.Background(), r)
	require.Contains(t, denied.Error(), `requested by: line 2 of "a\x1b[2Jb"`)

	// The place that a definition names stays.
	m = monitorOf(t, newFake(t, "", nil), mirrorOnly)
	_, err = m.definition(
		context.Background(), marshalState(t, llb.Image("evil.corp/base:1", at(1))),
	)
	requireRefusal(t, err, evilBase)
	require.ErrorAs(t, m.refusedFor(inner, false), &r)
	require.Equal(t, "line 1 of Dockerfile", r.origin.String())
}

func TestTheFirstRefusalIsRememberedAcrossNestedFrontends(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
	nested := m.within(m.inner)
	first := nested.refuseUnknown("one")
	requireRefusal(t, m.refuseUnknown("two"), "invariant: it asks for two, which no rule can allow")
	require.Equal(t, first, m.refused())
	require.Equal(t, m.inner.decision.Nesting-1, nested.inner.decision.Nesting)
}

func TestAWarningIsShownOnceAtItsLineAndReported(t *testing.T) {
	t.Parallel()
	c := newFake(t, "", nil)
	m := monitorOf(t, c, strings.Replace(mirrorOnly, "id: corp-ci", "id: corp-ci\nmode: warn", 1))
	require.Equal(t, policy.Allow, m.decided().Verdict)
	for range 2 {
		guard, err := m.definition(
			context.Background(), marshalState(t, llb.Image("evil.corp/base:1", at(1))),
		)
		require.NoError(t, err)
		require.Nil(t, guard, "nothing is to be held to")
	}
	require.Len(t, c.warned, 1)
	require.Contains(t, c.warned[0], "policy: would be refused: ")
	d := m.decided()
	require.Equal(t, policy.Warn, d.Verdict)
	require.Len(t, d.Warnings, 1)
	require.NoError(t, m.refused())

	for i := range 2 * maxWarnings {
		_, err := m.source(context.Background(), &pb.SourceOp{
			Identifier: fmt.Sprintf("docker-image://evil.corp/base:%d", i),
		})
		require.NoError(t, err)
	}
	require.Len(t, c.warned, maxWarnings)
	d = m.decided()
	require.Len(t, d.Warnings, maxWarnings+1)
	require.Equal(t, moreWarnings, d.Warnings[maxWarnings])
	requireRefusal(
		t, m.refuseUnknown("what no mode softens"),
		"invariant: it asks for what no mode softens, which no rule can allow",
	)
}

func TestOnlyTheClientsBuildCachesAreImported(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", map[string]string{
		"cache-imports": `[{"Type":"registry","Attrs":{"ref":"corp/cache"}},` +
			`{"Type":"local","Attrs":{"src":"c"}}]`,
		"cache-from": "corp/a,corp/b",
	}), mirrorOnly)
	registry := func(ref string) *gwpb.CacheOptionsEntry {
		return &gwpb.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}}
	}
	require.NoError(t, m.cacheImports(nil))
	require.NoError(t, m.cacheImports([]*gwpb.CacheOptionsEntry{
		registry("corp/cache"),
		registry("corp/b"),
		{Type: "local", Attrs: map[string]string{"src": "c"}},
	}))
	require.ErrorContains(
		t, m.cacheImports([]*gwpb.CacheOptionsEntry{registry("corp/a"), registry("evil/cache")}),
		"a build cache of type registry that the client didn't name",
	)
	require.ErrorContains(
		t,
		m.cacheImports([]*gwpb.CacheOptionsEntry{
			{Type: "gha", Attrs: map[string]string{"ref": "corp/a"}},
		}),
		"type gha",
	)

	m = monitorOf(t, newFake(t, "", map[string]string{"cache-imports": `{`}), mirrorOnly)
	require.ErrorContains(
		t, m.cacheImports([]*gwpb.CacheOptionsEntry{registry("corp/a")}), "can't be read",
	)
}

// A daemon that doesn't know git.checksum fetches the branch, whatever commit it has.
func TestACommitThatTheDaemonIgnoresDoesNotCount(t *testing.T) {
	t.Parallel()
	op := &pb.SourceOp{
		Identifier: "git://git.corp/x#main",
		Attrs:      map[string]string{"git.checksum": strings.Repeat("a", 40)},
	}
	c := newFake(t, "", nil)
	_, err := monitorOf(t, c, mirrorOnly).source(context.Background(), op)
	require.NoError(t, err)
	c.oldDaemon = true
	_, err = monitorOf(t, c, mirrorOnly).source(context.Background(), op)
	require.ErrorContains(t, err, "without a commit")
}
