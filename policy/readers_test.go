package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestAContextThatComesAsAnInputIsTheOptionContext(t *testing.T) {
	t.Parallel()
	const git = buildrules.KindGit
	for _, tt := range []struct {
		name, options string
		inputs        []string
		request       map[string]string
		allowed       bool
	}{
		{
			"a context under no rule on options", "inputs: deny",
			[]string{"context", "dockerfile"},
			nil,
			true,
		},
		{
			"a context that isn't listed", "only: [target], inputs: deny", []string{"context"}, nil, false,
		},
		{
			"a folder of the build file that isn't listed", "only: [target], inputs: deny",
			[]string{"dockerfile"},
			nil, false,
		},
		{
			"a context that is listed", "only: [context], inputs: deny", []string{"context", "dockerfile"}, nil, true,
		},
		{"a context that is denied", "deny: [context]", []string{"context"}, nil, false},
		{
			"a context by the option that names it", "deny: [context]", nil, map[string]string{"contextkey": "x", "x": "y"}, false,
		},
		{"no context", "only: [target], inputs: deny", nil, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := withOptions(request(t, "a"), tt.request, tt.inputs...)
			r.InputSources = map[string]buildrules.Kind{"context": git, "dockerfile": git}
			d := Decide(mustStack(t, "{version: 1, frontends: [{match: [a], options: {"+tt.options+"}}]}", ""), r)
			require.Equal(t, tt.allowed, d.Verdict == Allow, d.Reason)
		})
	}
}
