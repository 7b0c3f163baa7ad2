package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// attested has a forwarded frontend return inner, and returns what the daemon gets as the result.
func attested(
	t *testing.T, doc string, inner *gwpb.Result, opts map[string]string,
) (*gwpb.Result, *fakeClient, *fakeBridge, error) {
	t.Helper()
	c := newFake(t, "", opts)
	m := monitorOf(t, c, doc)
	daemon := &fakeBridge{inner: inner}
	m.build.bridge, m.build.version = &bridge{LLBBridgeClient: daemon}, "v1"
	m.build.now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	_, _, err := m.build.dispatch(context.Background(), m.inner)
	return m.build.bridge.result.Load(), c, daemon, err
}

// one is a result with an image for one platform.
func one(t *testing.T) *gwpb.Result {
	t.Helper()
	return &gwpb.Result{
		Result: &gwpb.Result_Ref{Ref: refOf(t, "one", "mirror.corp/a:1")},
		Metadata: map[string][]byte{"containerimage.config": []byte(
			`{"os":"linux","architecture":"arm64","config":{}}`)},
	}
}

const (
	attesting     = "version: 1\nattest: true\nfrontends: [{name: dockerfile, match: [docker/dockerfile]}]\n"
	attestedBuild = "version: 1\nattest: true\ndispatch: forward\nfrontends:\n" +
		"  - {name: dockerfile, match: [docker/dockerfile], build: {images: {allow: [\"mirror.corp/**\"]%s}}}\n"
)

// summaryOf returns the summary that the daemon was asked to make.
func summaryOf(t *testing.T, daemon *fakeBridge) (s vsa.Summary) {
	t.Helper()
	require.NotEmpty(t, daemon.solved)
	last := daemon.solved[len(daemon.solved)-1]
	var op pb.Op
	require.NoError(t, op.UnmarshalVT(last.Definition.Def[0]))
	data := op.GetFile().GetActions()[0].GetMkfile().GetData()
	require.NoError(t, json.Unmarshal(data, &s))
	return s
}

func TestAnImageHasASummaryOfTheDecision(t *testing.T) {
	t.Parallel()
	two := one(t)
	two.Result = &gwpb.Result_Refs{Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{
		"linux/amd64": two.GetRef(), "linux/arm64": two.GetRef(),
	}}}
	two.Metadata["refs.platforms"] = []byte(`{"Platforms":[` +
		`{"ID":"linux/amd64","Platform":{"OS":"linux","Architecture":"amd64"}},` +
		`{"ID":"linux/arm64","Platform":{"OS":"linux","Architecture":"arm64"}}]}`)
	two.Attestations = map[string]*gwpb.Attestations{"linux/amd64": {Attestation: []*gwpb.Attestation{
		{Kind: gwpb.AttestationKind_Bundle, InTotoPredicateType: "https://spdx.dev/Document"},
	}}}
	for name, tt := range map[string]struct {
		doc, rule string
		inner     *gwpb.Result
		platforms []string
		before    int // attestations of the first platform
	}{
		"one platform": {
			attesting, "dockerfile", one(t), []string{"linux/arm64"}, 0,
		},
		"two platforms, one with an SBOM": {
			attesting, "dockerfile", two, []string{"linux/amd64", "linux/arm64"}, 1,
		},
		"a checked result": {
			fmt.Sprintf(attestedBuild, ""), "dockerfile", one(t), []string{"linux/arm64"}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, c, daemon, err := attested(t, tt.doc, tt.inner, nil)
			require.NoError(t, err)
			require.Empty(t, c.warned)
			s := summaryOf(t, daemon)
			for i, p := range tt.platforms {
				of := res.Attestations[p].Attestation
				if i == 0 {
					require.Len(t, of, tt.before+1)
				}
				a := of[len(of)-1]
				require.Contains(t, a.Ref.Id, "solved again: ")
				require.Equal(t, vsa.PredicateType, a.InTotoPredicateType)
				require.Equal(t, "true", string(a.Metadata["inline-only"]))
				require.Equal(t, "/policy-summary.json", a.Path)
			}
			require.Len(t, res.Attestations, len(tt.platforms))
			var d policy.Decision
			require.NoError(t, json.Unmarshal(s.Details.Decision, &d))
			require.Equal(t, tt.rule, d.Rule)
			require.Equal(t, []vsa.Source{{URI: "docker-image://mirror.corp/a:1"}}, s.Details.Sources)
			require.Equal(t, "forward", s.Details.Dispatch)
			require.Equal(t, d.Policy.Digest.String(), s.Policy.Digest.String())
			require.Equal(t, map[string]string{"policy-frontend": "v1"}, s.Verifier.Version)
			require.Equal(t, attestedResource, s.ResourceURI)
		})
	}
}

func TestWhichImagesHaveNoSummary(t *testing.T) {
	t.Parallel()
	warned := fmt.Sprintf(attestedBuild, ", mode: warn")
	for name, tt := range map[string]struct {
		doc  string
		opts map[string]string
		why  string
	}{
		"no field":     {strings.Replace(attesting, "true", "false", 1), nil, ""},
		"a subrequest": {attesting, map[string]string{"requestid": "frontend.targets"}, ""},
		"a build that is warned about": {
			warned, nil, "[policy] the image gets no summary (attest: image): the policy only warned about " +
				"the build: ",
		},
		"a build that imports a cache": {
			attesting, map[string]string{"cache-from": "corp/cache"}, errImports.Error(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := one(t)
			if tt.doc == warned {
				inner.Result = &gwpb.Result_Ref{Ref: refOf(t, "one", "evil.corp/a:1")}
			}
			res, c, _, err := attested(t, tt.doc, inner, tt.opts)
			require.NoError(t, err)
			require.Empty(t, res.GetAttestations())
			if shown := strings.Join(c.named, "\n"); tt.why == "" {
				require.NotContains(t, shown, "no summary")
			} else {
				require.Contains(t, shown, tt.why)
			}
		})
	}
}

func TestASummaryOfABuildThatIsWarnedAboutSaysSo(t *testing.T) {
	t.Parallel()
	doc := strings.Replace(fmt.Sprintf(attestedBuild, ", mode: warn"), "true", "[image, warned]", 1)
	inner := one(t)
	inner.Result = &gwpb.Result_Ref{Ref: refOf(t, "one", "evil.corp/a:1")}
	_, c, daemon, err := attested(t, doc, inner, nil)
	require.NoError(t, err)
	require.Len(t, c.warned, 1)
	s := summaryOf(t, daemon)
	var d vsa.Decision
	require.NoError(t, json.Unmarshal(s.Details.Decision, &d))
	require.True(t, d.Warned())
	require.Contains(t, d.Warnings[0], "evil.corp/a:1")
}

func TestAFrontendMakesNoSummary(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*gwpb.Attestation{
		"a summary":              {InTotoPredicateType: vsa.PredicateType},
		"one of another version": {InTotoPredicateType: "https://SLSA.dev/verification_summary/v0.1"},
		"a bundle of anything":   {Kind: gwpb.AttestationKind_Bundle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, platform := range []string{"linux/arm64", ""} {
				inner := one(t)
				inner.Attestations = map[string]*gwpb.Attestations{
					platform: {Attestation: []*gwpb.Attestation{a}},
				}
				_, _, _, err := attested(t, attesting, inner, nil)
				require.ErrorContains(t, refusedWith(t, err),
					"an image with a summary that the frontend itself has made")
			}
		})
	}
}

// refusedWith returns the reason of a refusal as an error.
func refusedWith(t *testing.T, err error) error {
	t.Helper()
	var r *refusal
	require.ErrorAs(t, err, &r)
	return fmt.Errorf("%s", r.decision.Reason)
}

func TestWithoutTheFieldAForwardedResultStaysAsItIs(t *testing.T) {
	t.Parallel()
	c := newFake(t, "", nil)
	m := monitorOf(t, c, strings.Replace(attesting, "true", "false", 1))
	_, _, err := m.build.dispatch(context.Background(), m.inner)
	require.NoError(t, err)
	require.Len(t, c.solved, 1, "by the client itself, without a bridge")
}

// A client shows the name of a step once, and two texts are two lines.
func TestEachProgressLineIsAStepOfItsOwn(t *testing.T) {
	t.Parallel()
	heads := map[digest.Digest]bool{}
	for _, text := range []string{"warning: a", "warning: b", "warning: a"} {
		def, err := ProgressLine(t.Context(), text)
		require.NoError(t, err)
		head, err := def.Head()
		require.NoError(t, err)
		require.Equal(t, "[policy] "+text, def.Metadata[head].Description["llb.customname"])
		heads[head] = true
	}
	require.Len(t, heads, 2)
}
