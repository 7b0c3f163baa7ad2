package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
id: corp
aliases:
- {from: docker/dockerfile, to: mirror.example/df, pins: {"1.7": "`+digestA+`"}}
limits: {match: ["mirror.example/**"]}
frontends:
- {name: no-labs, match: ["**"], tags: ["*-labs"], action: deny}
- {name: old, match: [mirror.example/df], versions: "<1.5", expires: 2026-01-01}
- {name: other, match: [mirror.example/other, "x.example/**"]}
- {name: df, match: [mirror.example/df], versions: ">=1.5", options: {strip: [x]}}
`,
		"{version: 1, id: team, frontends: [{name: pinned, match: [docker/dockerfile], digests: [\""+
			digestA+"\"]}]}")
	r := withOptions(request(t, "docker/dockerfile:1.7"), map[string]string{"x": "1"})
	r.Time = at("2026-02-01T00:00:00Z")
	trace := Explain(l, r)
	require.Equal(t, Decide(l, r), trace.Decision)
	var steps []string
	for _, s := range trace.Steps {
		where := ""
		if s.File != "" {
			where = fmt.Sprintf(" %s:%d", s.File, s.Line)
		}
		steps = append(steps,
			strings.Join(
				strings.Fields(
					fmt.Sprintf("%s %s %s %s%s %s | %s", s.Kind, s.Layer, s.Rule, s.Result, where, s.Verdict,
						s.Reason)), " "))
	}
	require.Equal(t, []string{
		"reference | it means docker.io/docker/dockerfile:1.7",
		"alias policy matched policy.yaml:4 | the alias from docker/dockerfile to mirror.example/df makes it mirror.example/df:1.7@" + digestA + ", and pins the tag 1.7",
		"limits policy matched | mirror.example/df:1.7@" + digestA + " is within the limits",
		"rule policy no-labs missed policy.yaml:7 | its conditions don't hold for mirror.example/df:1.7@" + digestA,
		`rule policy old missed policy.yaml:8 | rule "old" expired on 2026-01-01`,
		"rule policy other missed policy.yaml:9 | mirror.example/df is none of its names: only mirror.example/other or x.example/**",
		"rule policy df matched policy.yaml:10 | it allows mirror.example/df:1.7@" + digestA,
		`layer policy df policy.yaml:10 allow | rule "df" allows mirror.example/df:1.7@` + digestA,
		"rule overlay pinned matched overlay:1 | it allows docker/dockerfile:1.7",
		`layer overlay pinned overlay:1 allow | rule "pinned" allows docker/dockerfile:1.7`,
		"obligations allow | this holds for the build: the digest " + digestA + ", options removed: 1",
	}, steps)

	out, err := json.Marshal(trace.Steps[1])
	require.NoError(t, err)
	require.JSONEq(t,
		`{"kind":"alias","layer":"policy","file":"policy.yaml","line":4,"result":"matched","from":"docker.io/docker/dockerfile:1.7",
		"to":"mirror.example/df:1.7@`+digestA+`","pin":"`+digestA+
			`","reason":"the alias from docker/dockerfile to mirror.example/df makes it mirror.example/df:1.7@`+digestA+`, and pins the tag 1.7"}`, string(out))
}

func TestExplainWhatNoRuleDecides(t *testing.T) {
	t.Parallel()
	last := func(trace Trace) Step { return trace.Steps[len(trace.Steps)-1] }

	l := mustStack(t,
		"{version: 1, default: allow, limits: {match: [b]}, aliases: [{from: x, to: b}]}", "")
	require.Equal(t,
		Step{
			Kind: StepLimits, Layer: LayerPolicy, Result: Missed, Verdict: Deny,
			Reason: "a:latest is outside the limits: only names like b can be allowed",
		},
		last(Explain(l, request(t, "a"))))
	r := request(t, "x")
	r.Self = mustRef(t, "x")
	require.Equal(t, StepInvariant, last(Explain(l, r)).Kind)
	require.Equal(t, "the request names no frontend", last(Explain(l, Request{})).Reason)
	require.Equal(t, "there is no policy, so nothing is allowed",
		last(Explain(Layers{}, request(t, "a"))).Reason)

	l = mustStack(t, "{version: 1, frontends: [{name: p, match: [a], digests: [\""+digestA+"\"]}]}",
		"")
	trace := Explain(l, request(t, "a"))
	require.Equal(t, Undecidable, last(trace).Verdict)
	require.Equal(t, Unknown, trace.Steps[1].Result)
	require.Equal(t, "it depends on the digest of a:latest", trace.Steps[1].Reason)

	l = mustStack(t,
		"version: 1\nfrontends:\n- {name: never, match: [a], action: deny}\n- {name: a, match: [a]}\n- {name: after, match: [a]}\n", "")
	trace = Explain(l, request(t, "a"))
	require.Equal(t, "never", trace.Decision.Rule)
	require.Len(t, trace.Steps, 5, "rules after the one that decides are explained too")
}

// The index may name a rule that isn't for a name, but never leaves one out.
func TestIndexLeavesOutNoRule(t *testing.T) {
	t.Parallel()
	patterns := []string{
		"**", "a", "docker/*", "docker/**", "docker.io/**/a", "docker.io/*/a", "**/a", "x.example/**",
		"x.ex*/a", "*.example/**/b", "docker/dockerfile",
		"docker/docker*", "docker/*file", "x.example/a/**/b", "x.example/**/b/**", "docker.io/library/a*",
		"localhost:5000/**",
	}
	names := []string{
		"a", "b", "docker/a", "docker/dockerfile", "docker/x/a", "x.example/a", "x.example/b",
		"x.example/a/b", "x.example/a/c/b", "x.example/b/a",
		"q.example/b", "localhost:5000/a", "localhost/a", "docker/docker", "docker/file",
	}
	doc := "version: 1\nfrontends:\n"
	for _, s := range patterns {
		doc += "- {match: [\"" + s + "\"]}\n"
	}
	doc += "- {match: [\"" + patterns[0] + "\", \"" + patterns[1] + "\"]}\n"
	p, err := Parse("p", []byte(doc))
	require.NoError(t, err)
	rules := p.Document().Frontends
	patterns = append(patterns, "** and a")
	ix := p.index
	matches := 0
	for _, n := range names {
		ref := mustRef(t, n)
		name := ref.Name()
		found := ix.Find(name)
		require.IsIncreasing(t, found)
		for i, r := range rules {
			if r.Covers(ref.Pattern()) {
				require.Contains(t, found, i, "%s is for %s", patterns[i], name)
				matches++
			}
		}
	}
	require.Greater(t, matches, 40)
	require.NotContains(t, ix.Find("quay.example/z"), 10, "a rule for another name is not asked")
}

func TestExplainNamesTheSourcesThatOthersCloses(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\ndefault: allow\nbuild: {images: {deny: [x]}, others: deny}\n", "")
	trace := Explain(l, request(t, "a"))
	var found []string
	for _, s := range trace.Steps {
		if s.Kind == StepBuild {
			found = append(found, s.Reason)
		}
	}
	require.Equal(t, []string{"its builds are bound by rules on images and all other sources"}, found)
}
