package policy

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestObligationsAsJSON(t *testing.T) {
	t.Parallel()
	d := decided(t,
		`{version: 1, build: {local: {allow: [context]}}, frontends: [{name: a, match: [a], dispatch: mediate, build: {exec: {ulimits: {core: 0}}, config: {user: {forbid: [""]}}}}]}`,
		"{version: 1, mode: warn, default: allow, build: {containers: deny}}")
	out, err := json.Marshal(d)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(out, &doc))
	require.Equal(t, "mediate", doc["dispatch"])
	part, err := json.Marshal(doc["obligations"])
	require.NoError(t, err)
	require.JSONEq(t, `{"build": [
		{"layer": "policy", "rule": "a", "mode": "enforce", "build": {"local": {"allow": ["context"]}, "exec": {"ulimits": {"core": 0}}, "config": {"user": {"forbid": [""]}}}},
		{"layer": "overlay", "rule": "default", "mode": "warn", "build": {"containers": "deny"}}
	]}`, string(part))
}

func TestExplainRulesOnBuilds(t *testing.T) {
	t.Parallel()
	l := mustStack(t,
		"version: 1\ndispatch: forward\nbuild: {local: {allow: [context]}}\nfrontends:\n- {name: a, match: [a], dispatch: mediate, build: {exec: {ssh: true}, git: {deny: [\"https://x/**\"]}}}\n- {name: b, match: [b]}\n", "")
	tail := func(ref, overlay string) []Step {
		layers := l
		if overlay != "" {
			layers.overlay = mustParse(t, overlay)
		}
		steps := Explain(layers, request(t, ref)).Steps
		for i, s := range steps {
			if s.Kind == StepObligations {
				return steps[i+1:]
			}
		}
		return nil
	}
	held := Step{
		Kind: StepBuild, Layer: LayerPolicy, Rule: "a", File: "policy.yaml", Line: 5,
		Reason: "its builds are bound by rules on git, local and exec",
	}
	run := Step{
		Kind: StepDispatch, Verdict: Allow,
		Reason: "it is run by dispatch: mediate, for at most 1h0m0s and with 512MiB of memory, " +
			"and can run other frontends 4 deep",
	}
	require.Equal(t, []Step{held, run}, tail("a", ""))
	require.Equal(t, []Step{
		{
			Kind: StepBuild, Layer: LayerOverlay, Rule: DefaultRule,
			Reason: "its builds are bound by rules on images, which only warn",
		}, held, run,
	}, tail("a", "{version: 1, mode: warn, default: allow, build: {images: {deny: [x]}}}"))
	require.Equal(t, []Step{
		{
			Kind: StepBuild, Layer: LayerPolicy, Rule: "b", File: "policy.yaml", Line: 6,
			Reason: "its builds are bound by rules on local",
		},
		{
			Kind: StepDispatch, Verdict: Allow,
			Reason: "it is run by dispatch: forward, so its operations are checked when it has returned",
		},
	}, tail("b", ""))
	require.Nil(t, tail("c", ""))
}
