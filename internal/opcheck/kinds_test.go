package opcheck_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestEveryKindIsReadAndChecked(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		doc, err := yaml.Marshal([]buildrules.Operation{c.Operation})
		require.NoError(t, err)
		operations, err := opcheck.Parse("operations.yaml", doc)
		require.NoError(t, err)
		require.Equal(t, []opcheck.Written{{Operation: c.Operation, Line: 1}}, operations)

		p, err := policy.Parse("policy.yaml", []byte(c.Policy()))
		require.NoError(t, err)
		layers, err := policy.Stack(p, nil)
		require.NoError(t, err)
		ref, err := imageref.Parse("docker/dockerfile:1")
		require.NoError(t, err)
		d := policy.Decide(layers, policy.Request{Requested: "docker/dockerfile:1", Reference: ref})
		answer := opcheck.Check(layers, policy.Request{}, d, operations[0].Operation)
		require.Equal(t, policy.Deny, answer.Verdict)
		require.Equal(t, c.Operation.Describe(), answer.Asked)

		d.Dispatch = policy.DispatchForward
		answer = opcheck.Check(layers, policy.Request{}, d, operations[0].Operation)
		unseen := slices.ContainsFunc(answer.Messages,
			func(m string) bool { return strings.HasPrefix(m, "with dispatch: forward") })
		require.Equal(t, c.Kind.IsUnseen(), unseen)
	})
}

func TestEveryKindIsExplained(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		for _, text := range []string{
			c.Policy(), "{version: 1, default: allow, dispatch: mediate, build: {others: deny}}",
		} {
			p, err := policy.Parse("policy.yaml", []byte(text))
			require.NoError(t, err)
			layers, err := policy.Stack(p, nil)
			require.NoError(t, err)
			ref, err := imageref.Parse("docker/dockerfile:1")
			require.NoError(t, err)
			d := policy.Decide(layers, policy.Request{Requested: "docker/dockerfile:1", Reference: ref})
			answer := opcheck.Explain(layers, policy.Request{}, d, c.Operation)
			isGeneric := strings.Contains(text, "others") || c.Kind != "plugins" // see newkind_test.go
			if answer.Verdict == policy.Deny && isGeneric {
				require.NotEmpty(t, answer.Steps, text)
			}
		}
	})
}
