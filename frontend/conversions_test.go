package frontend

import (
	"fmt"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// moves is a dead registry, its successor and a mirror of that.
const moves = `version: 1
dispatch: mediate
build:
  images:
    allow: ["new.corp/**", "mirror.corp/**"]
    convert:
      - {from: "dead.corp/**", to: "new.corp/**"}
      - {from: "new.corp/**", to: "mirror.corp/**"}
frontends:
  - {name: dockerfile, match: ["docker/dockerfile"]}
`

// readsOf returns what the daemon reads for an image of a definition under a guard.
func readsOf(t *testing.T, req *gwpb.SolveRequest) string {
	t.Helper()
	var op pb.Op
	require.NoError(t, op.UnmarshalVT(req.Definition.Def[0]))
	_, err := sourcepolicy.NewEngine(req.SourcePolicies).Evaluate(t.Context(), op.GetSource())
	require.NoError(t, err)
	return op.GetSource().Identifier
}

// A frontend looks an image up, and builds on the name with the digest that it gets.
func TestAConversionIsNotFollowedByAnother(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	lookUp := map[string]func(served, string) error{
		"by ResolveSourceMeta": func(s served, image string) error {
			_, err := s.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
				Source: &pb.SourceOp{Identifier: dockerImageProto + image},
			})
			return err
		},
		"in the old way": func(s served, image string) error {
			_, err := s.ResolveImageConfig(ctx, &gwpb.ResolveImageConfigRequest{Ref: image})
			return err
		},
	}
	solve := func(s served, image string) (string, error) {
		_, err := s.Solve(ctx, &gwpb.SolveRequest{Definition: marshalState(t, llb.Image(image))})
		if err != nil {
			return "", err
		}
		req, ok := s.daemon.passed[len(s.daemon.passed)-1].(*gwpb.SolveRequest)
		require.True(t, ok)
		return readsOf(t, req), nil
	}
	at := "@" + digestOne.String()
	for name, lookUp := range lookUp {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct{ name, look, build, read string }{
				{"what was looked up", "dead.corp/a:1", "new.corp/a:1" + at, "new.corp/a:1" + at},
				{"the same without the tag", "dead.corp/a:1", "new.corp/a" + at, "new.corp/a" + at},
				{
					"another digest", "dead.corp/a:1", "new.corp/a:1@" + digestTwo.String(),
					"mirror.corp/a:1@" + digestTwo.String(),
				},
				{"without a digest", "dead.corp/a:1", "new.corp/a:1", "mirror.corp/a:1"},
				{"another image", "dead.corp/a:1", "new.corp/b:1" + at, "mirror.corp/b:1" + at},
				{"what wasn't converted", "mirror.corp/a:1", "new.corp/a:1" + at, "mirror.corp/a:1" + at},
				{"the name that was asked for", "dead.corp/a:1", "dead.corp/a:1", "new.corp/a:1"},
			} {
				s := serveBroker(t, moves)
				require.NoError(t, lookUp(s, tt.look), tt.name)
				read, err := solve(s, tt.build)
				require.NoError(t, err, tt.name)
				require.Equal(t, dockerImageProto+tt.read, read, tt.name)
			}
		})
	}
}

// What conversions resulted in is still checked by all other rules.
func TestAConvertedImageIsCheckedAgain(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), moves)
	ref, err := imageref.Parse("evil.corp/a:1")
	require.NoError(t, err)
	m.handOut(ref, digestOne.String())
	_, err = m.definition(t.Context(),
		marshalState(t, llb.Image("evil.corp/a:1@"+digestOne.String())))
	require.ErrorContains(t, err, "refuses the image evil.corp/a:1")
}

func TestConversionsOfNestedFrontendsAreKnownToTheOuterOnes(t *testing.T) {
	t.Parallel()
	outer := monitorOf(t, newFake(t, "", nil), moves)
	inner := outer.within(outer.inner)
	handed := func(name string) string {
		ref, err := imageref.Parse("new.corp/" + name + ":1")
		require.NoError(t, err)
		if name == "inner" {
			inner.handOut(ref, digestOne.String())
		} else {
			outer.handOut(ref, digestOne.String())
		}
		return ref.String() + "@" + digestOne.String()
	}
	of := handed("inner")
	require.True(t, outer.converted.has(of))
	// The rules for the inner frontend may convert more.
	require.False(t, inner.converted.has(handed("outer")))
}

func TestTheMemoryOfConversionsIsBounded(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), moves)
	for i := range 2 * maxConverted {
		ref, err := imageref.Parse(fmt.Sprintf("new.corp/a%d:1", i))
		require.NoError(t, err)
		m.handOut(ref, digestOne.String())
	}
	require.LessOrEqual(t, len(m.converted.results), maxConverted+1)
	m.handOut(imageref.Reference{}, digestOne.String())
	m.handOut(m.inner.pinned().Tagged(), "no digest")
}
