package frontend

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

const pinnedDigest = "@sha256:1111111111111111111111111111111111111111111111111111111111111111"

func convertRule(from, to string, attrs map[string]string) *spb.Policy {
	return &spb.Policy{Version: 1, Rules: []*spb.Rule{{
		Action:   spb.PolicyAction_CONVERT,
		Selector: &spb.Selector{Identifier: from, MatchType: spb.MatchType_EXACT},
		Updates:  &spb.Update{Identifier: to, Attrs: attrs},
	}}}
}

// The test evaluates as the daemon does, with the client's source policy before the guard.
func TestTheDaemonReadsOnlyCheckedSources(t *testing.T) {
	t.Parallel()
	const base = "docker-image://mirror.corp/base:1"
	const file = "https://files.corp/a"
	const repo = "git://git.corp/x.git#0123456789abcdef0123456789abcdef01234567"
	gitURL := map[string]string{"git.fullurl": "https://git.corp/x.git"}
	for name, tc := range map[string]struct {
		ask    *pb.SourceOp
		client *spb.Policy
		want   string // identifier that is read; empty if the daemon fails
		fails  error  // nil is sourcepolicy.ErrSourceDenied
		attrs  map[string]string
	}{
		"what was asked for": {
			ask:  &pb.SourceOp{Identifier: base},
			want: base,
		},
		"a mirror that the policy puts in its place": {
			ask:  &pb.SourceOp{Identifier: "docker-image://docker.io/library/busybox:1"},
			want: "docker-image://mirror.corp/library/busybox:1",
		},
		"a digest that the policy pins": {
			ask:  &pb.SourceOp{Identifier: "docker-image://docker.io/library/pinned:1"},
			want: "docker-image://mirror.corp/library/pinned:1" + pinnedDigest,
		},
		"a digest that the client pins": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, base+pinnedDigest, nil),
			want:   base + pinnedDigest,
		},
		"a digest that the client pins on the mirror": {
			ask: &pb.SourceOp{Identifier: "docker-image://docker.io/library/x:1"},
			client: convertRule(
				"docker-image://mirror.corp/library/x:1",
				"docker-image://mirror.corp/library/x:1"+pinnedDigest, nil,
			),
			want: "docker-image://mirror.corp/library/x:1" + pinnedDigest,
		},
		"a checksum that the client adds": {
			ask:    &pb.SourceOp{Identifier: file},
			client: convertRule(file, file, map[string]string{"http.checksum": "sha256:1"}),
			want:   file,
			attrs:  map[string]string{"http.checksum": "sha256:1"},
		},
		"a git repository": {
			ask:  &pb.SourceOp{Identifier: repo, Attrs: gitURL},
			want: repo,
		},
		"another image": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, "docker-image://mirror.corp/other:1", nil),
		},
		"another image, however often it is converted": {
			ask: &pb.SourceOp{Identifier: base},
			client: &spb.Policy{
				Rules: append(
					convertRule(base, "docker-image://evil.corp/a:1", nil).Rules,
					convertRule(
						"docker-image://evil.corp/a:1", "docker-image://evil.corp/b:1", nil,
					).Rules...,
				),
			},
		},
		"another digest than the pinned one": {
			ask:    &pb.SourceOp{Identifier: base + pinnedDigest},
			client: convertRule(base+pinnedDigest, base+"@sha256:"+strings.Repeat("2", 64), nil),
		},
		"a tag instead of the digest": {
			ask:    &pb.SourceOp{Identifier: base + pinnedDigest},
			client: convertRule(base+pinnedDigest, base, nil),
		},
		"what the mirror stands for": {
			ask: &pb.SourceOp{Identifier: "docker-image://docker.io/library/x:1"},
			client: convertRule(
				"docker-image://mirror.corp/library/x:1", "docker-image://docker.io/library/x:1",
				nil,
			),
			fails: sourcepolicy.ErrTooManyOps,
		},
		"a name that only begins like it": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, base+"1"+pinnedDigest, nil),
		},
		"layers cut off": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, base, map[string]string{"image.layerlimit": "1"}),
		},
		"the machine's own store": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, base, map[string]string{"image.resolvemode": "local"}),
		},
		"an identifier with a line break": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, "docker-image://evil.corp/a:1\n", nil),
		},
		"another download": {
			ask:    &pb.SourceOp{Identifier: file},
			client: convertRule(file, "http://files.corp/a", nil),
		},
		"a download with another checksum": {
			ask: &pb.SourceOp{
				Identifier: file,
				Attrs:      map[string]string{"http.checksum": "sha256:1"},
			},
			client: convertRule(file, file, map[string]string{"http.checksum": "sha256:2"}),
		},
		"a download with a secret": {
			ask:    &pb.SourceOp{Identifier: file},
			client: convertRule(file, file, map[string]string{"http.authheadersecret": "aws"}),
		},
		"a download in place of an image": {
			ask:    &pb.SourceOp{Identifier: base},
			client: convertRule(base, "https://files.evil/a", nil),
		},
		"a git repository by another address": {
			ask: &pb.SourceOp{Identifier: repo, Attrs: gitURL},
			client: convertRule(repo, repo, map[string]string{
				"git.fullurl": "ssh://git.corp/x.git",
			}),
		},
		"a git repository with its submodules": {
			ask: &pb.SourceOp{
				Identifier: repo,
				Attrs:      map[string]string{"git.skipsubmodules": "true"},
			},
			client: convertRule(repo, repo, map[string]string{"git.skipsubmodules": ""}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
			guard, err := m.source(context.Background(), tc.ask)
			require.NoError(t, err)
			if tc.client != nil {
				guard = append([]*spb.Policy{tc.client}, guard...)
			}
			op := tc.ask.CloneVT()
			if ids := llbops.Identifiers(op); tc.client == nil {
				op.Identifier = ids[len(ids)-1] // the normal form of today's daemons
			}
			_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), op)
			if tc.want == "" {
				require.ErrorIs(t, err, cmp.Or(tc.fails, sourcepolicy.ErrSourceDenied))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, op.Identifier)
			for k, v := range tc.attrs {
				require.Equal(t, v, op.Attrs[k])
			}
		})
	}
}

func TestAGuardRestrictsOnlyKindsThatRulesRestrict(t *testing.T) {
	t.Parallel()
	free := "version: 1\nfrontends: [{match: [docker/dockerfile]}]\n"
	guard, err := monitorOf(t, newFake(t, "", nil), free).source(context.Background(), &pb.SourceOp{
		Identifier: "docker-image://evil.corp/base:1",
	})
	require.NoError(t, err)
	require.Nil(t, guard)

	guard, err = monitorOf(t, newFake(t, "", nil), mirrorOnly).source(
		context.Background(), &pb.SourceOp{Identifier: "local://context"},
	)
	require.NoError(t, err)
	for _, r := range guard[0].Rules {
		require.Equal(t, spb.PolicyAction_DENY, r.Action, "nothing to allow where all is")
	}

	local := "version: 1\nfrontends: [{match: [docker/dockerfile], build: {local: {allow: " +
		"[context]}}}]\n"
	guard, err = monitorOf(t, newFake(t, "", nil), local).source(context.Background(), &pb.SourceOp{
		Identifier: "local://context",
		Attrs:      map[string]string{"local.session": "s"},
	})
	require.NoError(t, err)
	for id, ok := range map[string]bool{
		"local://context": true, "local://home": false, "docker-image://evil.corp/base:1": true,
	} {
		_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), &pb.SourceOp{
			Identifier: id,
			Attrs:      map[string]string{"local.session": "s"},
		})
		require.Equal(t, ok, err == nil, id)
	}
	_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), &pb.SourceOp{
		Identifier: "local://context",
		Attrs:      map[string]string{"local.session": "t"},
	})
	require.ErrorIs(t, err, sourcepolicy.ErrSourceDenied)
}

// In mode warn a source that breaks a rule is read, and conversions apply nevertheless.
func TestAMirrorIsUsedInModeWarnToo(t *testing.T) {
	t.Parallel()
	doc := strings.Replace(mirrorOnly, "id: corp-ci", "id: corp-ci\nmode: warn", 1)
	guard, err := monitorOf(t, newFake(t, "", nil), doc).source(context.Background(), &pb.SourceOp{
		Identifier: "docker-image://docker.io/library/busybox:1",
	})
	require.NoError(t, err)
	op := &pb.SourceOp{Identifier: "docker-image://docker.io/library/busybox:1"}
	_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), op)
	require.NoError(t, err)
	require.Equal(t, "docker-image://mirror.corp/library/busybox:1", op.Identifier)
}

func TestAGuardThatTheDaemonCannotEnforceIsRefused(t *testing.T) {
	t.Parallel()
	chain := "version: 1\nfrontends: [{match: [docker/dockerfile], build: {images: {convert: " +
		"[{from: a.corp/x, to: b.corp/x}, {from: b.corp/x, to: c.corp/x}]}}}]\n"
	images := func(refs ...string) *pb.Definition {
		def := &pb.Definition{}
		for _, ref := range refs {
			dt, err := (&pb.Op{
				Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "docker-image://" + ref}},
			}).Marshal()
			require.NoError(t, err)
			def.Def = append(def.Def, dt)
		}
		return def
	}
	_, err := monitorOf(t, newFake(t, "", nil), chain).definition(
		context.Background(), images("a.corp/x:1"),
	)
	require.NoError(t, err)
	_, err = monitorOf(t, newFake(t, "", nil), chain).definition(
		context.Background(), images("a.corp/x:1", "b.corp/x:1"),
	)
	require.ErrorContains(
		t, err,
		"docker-image://a.corp/x:1 together with its replacement docker-image://b.corp/x:1, "+
			"which has another replacement",
	)

	var many []string
	for i := range maxGuardRules {
		many = append(many, fmt.Sprintf("mirror.corp/x:%d", i))
	}
	_, err = monitorOf(t, newFake(t, "", nil), mirrorOnly).definition(
		context.Background(), images(many...),
	)
	require.ErrorContains(t, err, "too many or too long sources in one definition")
	_, err = monitorOf(t, newFake(t, "", nil), mirrorOnly).definition(
		context.Background(), images(many[:maxGuardRules/2]...),
	)
	require.NoError(t, err)
}

// The daemon compares each source with the text of each selector.
func TestTheSizeOfAGuardIsBounded(t *testing.T) {
	t.Parallel()
	downloads := func(n, size int) *pb.Definition {
		var states []llb.State
		for i := range n {
			states = append(
				states,
				llb.HTTP(fmt.Sprintf("https://files.corp/%d/%s", i, strings.Repeat("a", size))),
			)
		}
		return marshalState(t, llb.Merge(states))
	}
	_, err := monitorOf(t, newFake(t, "", nil), mirrorOnly).definition(
		t.Context(), downloads(32, 8000),
	)
	require.NoError(t, err)
	_, err = monitorOf(t, newFake(t, "", nil), mirrorOnly).definition(
		t.Context(), downloads(33, 8000),
	)
	require.ErrorContains(t, err, "too many or too long sources in one definition")
}

// Regular expressions treat invalid UTF-8 as U+FFFD.
func TestASourceWithAnUnreadableNameIsRefused(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"https://files.corp/\uFFFD": "whose name isn't readable text",
		"local://\xff":              "whose name isn't readable text",
		"https://files.corp/\xff":   "the URL is not UTF-8",
	} {
		_, err := monitorOf(t, newFake(t, "", nil), mirrorOnly).source(t.Context(), &pb.SourceOp{
			Identifier: id,
		})
		require.ErrorContains(t, err, want)
	}
}

// The daemon evaluates a git source from a bundle a second time, as a blob.
func TestABundleIsGuardedAsABlob(t *testing.T) {
	t.Parallel()
	doc := "version: 1\nfrontends: [{match: [docker/dockerfile], build: {blob: {allow: " +
		"[corp.example/x]}, git: {allow: ['https://git.corp/**']}}}]\n"
	const blob = "docker-image+blob://corp.example/x" + pinnedDigest
	op := &pb.SourceOp{
		Identifier: "git://git.corp/x",
		Attrs:      map[string]string{"git.bundle": blob, "git.checksum": "x"},
	}
	guard, err := monitorOf(t, newFake(t, "", nil), doc).source(context.Background(), op)
	require.NoError(t, err)
	for _, op := range []*pb.SourceOp{op, {Identifier: blob}} {
		_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), op)
		require.NoError(t, err)
	}
	_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), &pb.SourceOp{
		Identifier: strings.Replace(blob, "example/x", "example/y", 1),
	})
	require.ErrorIs(t, err, sourcepolicy.ErrSourceDenied)

	// A bundle in an OCI layout is in the store that the git source names. The default store
	// is the reference's name.
	layout := "version: 1\nfrontends: [{match: [docker/dockerfile], build: {ociLayout: {allow: " +
		"[corp.example/x]}}}]\n"
	const inLayout = "oci-layout+blob://corp.example/x" + pinnedDigest
	for _, store := range []string{"", "s"} {
		bundled := &pb.SourceOp{Identifier: "git://git.corp/x", Attrs: map[string]string{
			"git.bundle": inLayout, "git.checksum": "x", "oci.session": "abc", "oci.store": store,
		}}
		guard, err = monitorOf(t, newFake(t, "", nil), layout).source(context.Background(), bundled)
		require.NoError(t, err)
		as := &pb.SourceOp{
			Identifier: inLayout,
			Attrs: map[string]string{
				"oci.session": "abc",
				"oci.store":   cmp.Or(store, "corp.example/x"),
			},
		}
		_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), as)
		require.NoError(t, err)
		as.Attrs["oci.store"] = "other"
		_, err = sourcepolicy.NewEngine(guard).Evaluate(context.Background(), as)
		require.ErrorIs(t, err, sourcepolicy.ErrSourceDenied)
	}

	op.Attrs["git.bundle"] = strings.Replace(blob, "corp.example", "evil.example", 1)
	_, err = monitorOf(t, newFake(t, "", nil), doc).source(context.Background(), op)
	require.ErrorContains(t, err, "evil.example")
}

// A URL that programs read in several ways is allowed if rules allow each reading, and the daemon
// then reads it as it is written.
func TestAnAmbiguousURLIsHeldToHowItIsWritten(t *testing.T) {
	t.Parallel()
	doc := "version: 1\nfrontends: [{match: [docker/dockerfile], build: {http: {allow: " +
		"['https://files.corp/a/**']}}}]\n"
	const asked = "https://files.corp/a/b/../c%2Fd"
	monitor := monitorOf(t, newFake(t, "", nil), doc)
	guard, err := monitor.source(t.Context(), &pb.SourceOp{Identifier: asked})
	require.NoError(t, err)
	for id, ok := range map[string]bool{
		asked: true, "https://files.corp/a/c/d": false, "https://files.corp/a/b/../c/d": false,
	} {
		_, err := sourcepolicy.NewEngine(guard).Evaluate(t.Context(), &pb.SourceOp{Identifier: id})
		require.Equal(t, ok, err == nil, id)
	}
	_, err = monitorOf(t, newFake(t, "", nil), doc).source(t.Context(), &pb.SourceOp{
		Identifier: "https://files.corp/a/..%2Fc",
	})
	require.ErrorContains(t, err,
		"the download https://files.corp/a/..%2Fc, which can be read as https://files.corp/c: "+
			"it allows only https://files.corp/a/** (build.http.allow)")
}
