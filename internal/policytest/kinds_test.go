package policytest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
)

func TestEveryKindIsTested(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		operation, err := yaml.Marshal(c.Operation)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, yaml.Unmarshal(operation, &fields))
		fields["expect"] = map[string]string{"verdict": "deny"}
		doc, err := yaml.Marshal(map[string]any{
			"policy": "policy.yaml",
			"cases": []any{map[string]any{
				"name": "a", "request": "docker/dockerfile:1", "expect": map[string]string{"verdict": "allow"},
				"build": []any{fields},
			}},
		})
		require.NoError(t, err)
		suite, err := policytest.Parse("test.yaml", doc)
		require.NoError(t, err)
		require.Equal(t, c.Operation, suite.Cases[0].Build[0].Operation)

		results, err := suite.Run(folder{"policy.yaml": {Data: []byte(c.Policy())}}, all)
		require.NoError(t, err)
		require.Empty(t, results[0].Failures)
	})
}
