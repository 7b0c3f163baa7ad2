package frontend

import (
	"maps"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// choiceUnder returns the choice of docker/dockerfile:1 under a policy with build rules.
func choiceUnder(t *testing.T, doc string) (*Choice, *fakeClient) {
	t.Helper()
	fake := newFake(t, "", nil)
	m := monitorOf(t, fake, doc)
	runs, err := imageref.Parse(strings.TrimPrefix(ownImage, dockerImageProto))
	require.NoError(t, err)
	return &Choice{
		Decision: m.inner.decision, Frontend: gatewayFrontend, monitor: m, runs: runs,
		Mediated: m.inner.decision.Dispatch == policy.DispatchMediate,
	}, fake
}

const ownImage = "docker-image://docker.io/docker/dockerfile:1@" + string(digestOne)

func TestEachSourceIsJudgedByTheBuildRules(t *testing.T) {
	const pinned = "docker-image://mirror.corp/library/pinned:1@" + string(digestOne)
	const commit = "0123456789012345678901234567890123456789"
	for name, tc := range map[string]struct {
		id      string
		attrs   map[string]string
		why     string // it is refused
		instead string // what is read instead
		adds    map[string]string
	}{
		"an image of the mirror": {id: "docker-image://mirror.corp/base:1"},
		"another image": {
			id: "docker-image://evil.corp/base:1", why: "refuses the image evil.corp/base:1",
		},
		"an image that is replaced": {
			id:      "docker-image://docker.io/library/busybox:1",
			instead: "docker-image://mirror.corp/library/busybox:1",
		},
		"an image that is replaced and pinned": {
			id: "docker-image://docker.io/library/pinned:1", instead: pinned,
		},
		"a pinned image": {
			id: "docker-image://mirror.corp/library/pinned:1", instead: pinned,
		},
		"the pinned image by its digest":                           {id: pinned},
		"the frontend's own image, which no rule allows as a base": {id: ownImage},
		"the frontend's own image, as the daemon runs it": {
			id: ownImage, attrs: map[string]string{pb.AttrImageRecordType: "frontend"},
		},
		"the frontend's own image by its tag": {
			id: "docker-image://docker.io/docker/dockerfile:1", why: "docker/dockerfile:1",
		},
		"another frontend": {
			id: "docker-image://mirror.corp/base:1", why: "it would run mirror.corp/base:1",
			attrs: map[string]string{pb.AttrImageRecordType: "frontend"},
		},
		"a repository without its submodules": {
			id:    "git://git.corp/a.git#" + commit,
			attrs: map[string]string{"git.fullurl": "https://git.corp/a.git", "git.skipsubmodules": "true"},
		},
		"a repository with submodules": {
			id:      "git://git.corp/a.git#" + commit,
			attrs:   map[string]string{"git.fullurl": "https://git.corp/a.git"},
			instead: "git://git.corp/a.git#" + commit,
			adds:    map[string]string{"git.skipsubmodules": "true"},
		},
		"a branch where a commit is required": {
			id:    "git://git.corp/a.git#main",
			attrs: map[string]string{"git.fullurl": "https://git.corp/a.git"}, why: "requireCommit",
		},
		"another repository": {
			id: "git://evil.corp/a.git#" + commit, why: "https://evil.corp/a",
			attrs: map[string]string{"git.fullurl": "https://evil.corp/a.git"},
		},
		"a repository with a secret of the frontend's choice": {
			id: "git://git.corp/a.git#" + commit, why: "exec.secrets",
			attrs: map[string]string{
				"git.fullurl": "https://git.corp/a.git", "git.authtokensecret": "aws",
			},
		},
		"a download":        {id: "https://files.corp/a"},
		"another download":  {id: "https://files.evil/a", why: "https://files.evil/a"},
		"a local directory": {id: "local://context"},
		"an unknown kind":   {id: "future://x", why: "unknown kind"},
		"an unknown attribute": {
			id: "local://context", attrs: map[string]string{"local.future": "x"},
			why: "unknown attribute",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := choiceUnder(t, mirrorOnly+"    dispatch: forward\n")
			source := &pb.SourceOp{Identifier: tc.id, Attrs: tc.attrs}
			instead, err := c.Judge(t.Context(), source, nil)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.id, source.Identifier, "it isn't changed in place")
			if tc.instead == "" {
				require.Nil(t, instead)
				return
			}
			require.Equal(t, tc.instead, instead.Identifier)
			for key, value := range tc.attrs {
				require.Equal(t, value, instead.Attrs[key])
			}
			for key, value := range tc.adds {
				require.Equal(t, value, instead.Attrs[key])
				require.NotContains(t, source.Attrs, key)
			}
			again, err := c.Judge(t.Context(), instead, nil)
			require.NoError(t, err)
			require.Nil(t, again, "the daemon's second question ends it")
		})
	}
}

// A conversion is not followed by another one, however the daemon asks.
func TestJudgingASourceEndsWhateverTheConversions(t *testing.T) {
	c, _ := choiceUnder(t, `version: 1
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    build:
      images:
        convert: [{from: a.corp/x, to: b.corp/x}, {from: b.corp/x, to: a.corp/x}]
`)
	source := &pb.SourceOp{Identifier: "docker-image://a.corp/x:1"}
	instead, err := c.Judge(t.Context(), source, nil)
	require.NoError(t, err)
	require.Equal(t, "docker-image://b.corp/x:1", instead.Identifier)
	instead, err = c.Judge(t.Context(), instead, nil)
	require.NoError(t, err)
	require.Nil(t, instead)
}

// A digest decides what is read, and anybody can write another tag beside it.
func TestTheTagOfAPinnedSourceIsLookedUp(t *testing.T) {
	const doc = `version: 1
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    build:
      images:
        rules: [{name: bases, action: allow, match: [corp.example/**], tags: ["1"]}]
`
	c, fake := choiceUnder(t, doc)
	fake.tags["corp.example/base:1"] = digestOne
	good := &pb.SourceOp{Identifier: "docker-image://corp.example/base:1@" + string(digestOne)}
	_, err := c.Judge(t.Context(), good, nil)
	require.NoError(t, err)
	bad := &pb.SourceOp{Identifier: "docker-image://corp.example/base:1@" + string(digestTwo)}
	_, err = c.Judge(t.Context(), bad, nil)
	require.ErrorContains(t, err, "corp.example/base:1")
	require.Equal(t, []string{"docker-image://corp.example/base:1"}, fake.resolved, "once")
}

func TestWithoutBuildRulesOnlyFrontendsAreJudged(t *testing.T) {
	c, _, err := chooseAs(t, corpPolicy, gatewayFrontend, "",
		map[string]string{"source": "docker/dockerfile:1"})
	require.NoError(t, err)
	for _, id := range []string{"docker-image://evil.corp/base:1", "future://x"} {
		instead, err := c.Judge(t.Context(), &pb.SourceOp{Identifier: id}, nil)
		require.NoError(t, err)
		require.Nil(t, instead)
	}
	_, err = (*Choice)(nil).Judge(t.Context(), &pb.SourceOp{Identifier: "local://context"}, nil)
	require.ErrorContains(t, err, "no frontend was allowed in this build")
}

// The policy frontend itself checks what a mediated frontend asks for, and reads images for it.
func TestTheImagesOfMediatedFrontendsMayBeRead(t *testing.T) {
	const doc = `version: 1
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    dispatch: mediate
    build: {images: {allow: [mirror.corp/**]}, frontends: {allow: [docker/**]}}
  - name: other
    match: ["docker/other", "evil/other"]
`
	for ref, allowed := range map[string]bool{
		"docker.io/docker/dockerfile:1":                      true,
		"docker.io/docker/dockerfile:1@" + string(digestOne): true,
		"docker.io/docker/other:1":                           true,
		"docker.io/docker/other:1@" + string(digestTwo):      true,
		"docker.io/evil/other:1":                             false, // no nested one
		"docker.io/docker/unknown:1":                         false, // no frontend
		"mirror.corp/base:1":                                 true,
	} {
		c, _ := choiceUnder(t, doc)
		_, err := c.Judge(t.Context(), &pb.SourceOp{Identifier: "docker-image://" + ref}, nil)
		require.Equal(t, allowed, err == nil, ref)
	}
	forwarded, _ := choiceUnder(t, strings.Replace(strings.Replace(doc, "mediate", "forward", 1),
		", frontends: {allow: [docker/**]}", "", 1))
	require.Equal(t, policy.DispatchForward, forwarded.Decision.Dispatch)
	_, err := forwarded.Judge(t.Context(),
		&pb.SourceOp{Identifier: "docker-image://docker.io/docker/other:1"}, nil)
	require.Error(t, err)
}

// The daemon evaluates the source policies of a definition again after policy-guard has named the
// session of a source, or left out submodules.
func TestTheGuardOfADefinitionAllowsWhatPolicyGuardAdds(t *testing.T) {
	const doc = mirrorOnly + "      local: {allow: [context]}\n      ociLayout: {allow: [x.corp/**]}\n"
	const commit = "0123456789012345678901234567890123456789"
	layout := "oci-layout://x.corp/a:1@" + string(digestOne)
	repo := map[string]string{"git.fullurl": "https://git.corp/a.git"}
	for name, tc := range map[string]struct {
		id            string
		attrs         map[string]string
		attr, allowed string
		denied        []string
	}{
		"a directory": {
			id: "local://context", attr: "local.session", allowed: "s1", denied: []string{"s2"},
		},
		"an OCI layout": {id: layout, attr: "oci.session", allowed: "s1", denied: []string{"s2"}},
		"a repository": {
			id: "git://git.corp/a.git#" + commit, attrs: repo, attr: "git.skipsubmodules",
			allowed: "true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := monitorOf(t, newFake(t, "", nil), doc)
			m.build.client = inSession{m.build.client}
			guard, err := m.source(t.Context(), &pb.SourceOp{Identifier: tc.id, Attrs: tc.attrs})
			require.NoError(t, err)
			evaluate := func(value string) error {
				attrs := map[string]string{tc.attr: value}
				maps.Copy(attrs, tc.attrs)
				_, err := sourcepolicy.NewEngine(guard).Evaluate(t.Context(),
					&pb.SourceOp{Identifier: tc.id, Attrs: attrs})
				return err
			}
			require.NoError(t, evaluate(""))
			require.NoError(t, evaluate(tc.allowed))
			for _, value := range tc.denied {
				require.ErrorIs(t, evaluate(value), sourcepolicy.ErrSourceDenied)
			}
		})
	}
}

// inSession is a client whose build has a session.
type inSession struct{ client.Client }

func (c inSession) BuildOpts() client.BuildOpts {
	o := c.Client.BuildOpts()
	o.SessionID = "s1"
	return o
}

// A frontend that is forwarded writes the digest into its result that it has looked up.
func TestALookUpOfATagIsRefusedWhereADigestIsRequired(t *testing.T) {
	c, _ := choiceUnder(t, `version: 1
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    dispatch: forward
    build: {images: {allow: ["mirror.corp/**"], requireDigest: true}}
`)
	_, err := c.Judge(t.Context(), &pb.SourceOp{Identifier: "docker-image://mirror.corp/base:1"}, nil)
	require.ErrorContains(t, err, "requireDigest")
	_, err = c.Judge(t.Context(), &pb.SourceOp{
		Identifier: "docker-image://mirror.corp/base:1@" + string(digestOne),
	}, nil)
	require.NoError(t, err)
}
