package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAForwardedFrontendReadsNoSourceForADate(t *testing.T) {
	t.Parallel()
	const (
		rule = "{version: 1, frontends: [{match: [a], dispatch: forward, build: {http: {deny: [\"**\"]}}}]}"
	)
	for _, tt := range []struct {
		name, policy string
		options      map[string]string
		force        map[string]string
		refused      bool
	}{
		{"no date is made an empty one", rule, nil, map[string]string{epochOption: ""}, false},
		{"a number stays", rule, map[string]string{epochOption: "-1"}, nil, false},
		{"an empty one stays", rule, map[string]string{epochOption: ""}, nil, false},
		{"the name of a stage is refused", rule, map[string]string{epochOption: "leak"}, nil, true},
		{
			"a number too large for BuildKit may be the name of a stage", rule,
			map[string]string{epochOption: "99999999999999999999"},
			nil, true,
		},
		{
			"a name that the rule strips is made an empty one",
			"{version: 1, frontends: [{match: [a], dispatch: forward, options: {strip: [\"" + epochOption +
				"\"]}, build: {http: {deny: [\"**\"]}}}]}",
			map[string]string{epochOption: "leak"},
			map[string]string{epochOption: ""},
			false,
		},
		{
			"a date that the policy forces stays",
			"{version: 1, frontends: [{match: [a], dispatch: forward, options: {force: {\"" + epochOption +
				"\": context}}, build: {http: {deny: [\"**\"]}}}]}",
			nil,
			map[string]string{epochOption: "context"},
			false,
		},
		{
			"a mediated frontend is checked when it reads",
			"{version: 1, frontends: [{match: [a], build: {http: {deny: [\"**\"]}}}]}",
			map[string]string{epochOption: "leak"},
			nil, false,
		},
		{
			"rules that only warn refuse nothing",
			"{version: 1, mode: warn, default: allow, dispatch: forward, build: {http: {deny: [\"**\"]}}}",
			map[string]string{epochOption: "leak"},
			nil, false,
		},
		{
			"rules on other things don't matter",
			"{version: 1, default: allow, dispatch: forward, build: {config: {user: {forbid: [root]}}}}",
			map[string]string{epochOption: "leak"},
			nil, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(mustStack(t, tt.policy, ""), withOptions(request(t, "a"), tt.options))
			if tt.refused {
				require.Equal(t, Deny, d.Verdict)
				require.Equal(t, InvariantRule, d.Rule)
				require.Contains(t, d.Reason, epochOption+"="+tt.options[epochOption]+" can name a source")
				require.Empty(t, d.Obligations)
				return
			}
			require.True(t, d.Verdict.Permits(), d.Reason)
			require.Equal(t, tt.force, d.Obligations.Force)
		})
	}
}

// A nested frontend is never forwarded, so each source is checked before it is read.
func TestANestedFrontendReadsASourceForADate(t *testing.T) {
	t.Parallel()
	const doc = "{version: 1, frontends: [{match: [a], dispatch: forward, build: {http: {deny: " +
		"[\"x.example/**\"]}}}]}"
	for _, options := range []map[string]string{nil, {epochOption: "leak"}} {
		r := withOptions(request(t, "a"), options)
		r.Nested = true
		d := Decide(mustStack(t, doc, ""), r)
		require.Equal(t, Allow, d.Verdict, d.Reason)
		require.Equal(t, DispatchMediate, d.Dispatch)
		require.Empty(t, d.Obligations.Force)
	}
}
