package frontend

import (
	"context"
	"regexp"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// unmark removes the random marks from source policies.
func unmark(policies []*spb.Policy) {
	mark := regexp.MustCompile(`\^\(\?:[A-Z2-7]{26}-[0-9]+\)\{0\}`)
	for _, p := range policies {
		for _, r := range p.Rules {
			r.Selector.Identifier = mark.ReplaceAllString(r.Selector.Identifier, "^")
		}
	}
}

// A client can't put a selector that it doesn't know into its own source policy.
func TestNoTwoSelectorsHaveTheSameText(t *testing.T) {
	t.Parallel()
	m := monitorOf(t, newFake(t, "", nil), mirrorOnly)
	def := marshalState(t, llb.Merge([]llb.State{
		llb.Image("mirror.corp/base:1"), llb.Image("mirror.corp/base:2"),
		llb.Image("docker.io/library/x:1"),
	}))
	ref, err := imageref.Parse("docker/dockerfile:1" + pinnedDigest)
	require.NoError(t, err)
	seen := map[string]bool{}
	for range 2 {
		guard, err := m.definition(context.Background(), def)
		require.NoError(t, err)
		for _, p := range append(guard, onlyImage(ref)...) {
			require.NotEmpty(t, p.Rules)
			for _, r := range p.Rules {
				require.Equal(t, spb.MatchType_REGEX, r.Selector.MatchType)
				require.False(t, seen[r.Selector.Identifier], r.Selector.Identifier)
				seen[r.Selector.Identifier] = true
			}
		}
	}
}

func TestASelectorSelectsOnlyItsIdentifiers(t *testing.T) {
	t.Parallel()
	s := newSelectors()
	const id = "https://files.corp/a$1?b=(c)"
	for name, tc := range map[string]struct {
		selector *spb.Selector
		op       *pb.SourceOp
		want     bool
	}{
		"the identifier": {
			s.matching(exactly(id), nil),
			&pb.SourceOp{Identifier: id},
			true,
		},
		"more than the identifier": {
			s.matching(exactly(id), nil),
			&pb.SourceOp{Identifier: id + "x"},
			false,
		},
		"another line": {
			s.matching(exactly(id), nil),
			&pb.SourceOp{Identifier: id + "\n"},
			false,
		},
		"something before it": {
			s.matching(exactly(id), nil),
			&pb.SourceOp{Identifier: "x" + id},
			false,
		},
		"the attributes": {
			s.matching(exactly(id), map[string]string{"a": "1", "b": ""}),
			&pb.SourceOp{Identifier: id, Attrs: map[string]string{"a": "1"}},
			true,
		},
		"another attribute than it may have": {
			s.matching(exactly(id), map[string]string{"a": "1"}),
			&pb.SourceOp{Identifier: id, Attrs: map[string]string{"a": "2"}},
			false,
		},
		"an attribute that it may not have": {
			s.matching(exactly(id), map[string]string{"b": ""}),
			&pb.SourceOp{Identifier: id, Attrs: map[string]string{"b": "2"}},
			false,
		},
		"a beginning": {
			s.matching(startingWith("https://"), nil),
			&pb.SourceOp{Identifier: id + "\n"},
			true,
		},
		"another beginning": {
			s.matching(startingWith("http://"), nil),
			&pb.SourceOp{Identifier: id},
			false,
		},
		"the beginning of all there is": {
			s.matching(startingWith(""), nil),
			&pb.SourceOp{Identifier: "\n"},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sourcepolicy.NewEngine([]*spb.Policy{
				{Rules: []*spb.Rule{{Action: spb.PolicyAction_DENY, Selector: tc.selector}}},
			}).Evaluate(context.Background(), tc.op)
			require.Equal(t, tc.want, err != nil)
		})
	}
}

func TestTheTargetOfAConversionIsLiteral(t *testing.T) {
	t.Parallel()
	s := newSelectors()
	op := &pb.SourceOp{Identifier: "docker-image://docker.io/x:1"}
	_, err := sourcepolicy.NewEngine([]*spb.Policy{{Rules: []*spb.Rule{
		{
			Action:   spb.PolicyAction_CONVERT,
			Selector: s.matching(exactly(op.Identifier), nil),
			Updates:  &spb.Update{Identifier: literally("https://mirror.corp/$0$1${2}")},
		},
	}}}).Evaluate(context.Background(), op)
	require.NoError(t, err)
	require.Equal(t, "https://mirror.corp/$0$1${2}", op.Identifier)
}
