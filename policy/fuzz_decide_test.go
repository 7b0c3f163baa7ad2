package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

const digestC = "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

func addDecideSeeds(f *testing.F) {
	f.Helper()
	f.Add([]byte{0}, []byte{0}, []byte{0})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, []byte{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1},
		[]byte{1, 1, 1, 1})
	f.Add([]byte("every policy that there is, with a few rules"),
		[]byte("every overlay that there is, too"), []byte("every request of all"))
	// A generator that is as plain as can be spreads the seeds over all choices.
	x := uint32(1)
	random := func(n int) []byte {
		out := make([]byte, n)
		for i := range out {
			x = x*1664525 + 1013904223
			out[i] = byte(x >> 24)
		}
		return out
	}
	for range 200 {
		f.Add(random(60), random(60), random(12))
	}
}

// FuzzOverlayNeverWidens: for all policies, overlays and requests, what both
// together let run, the embedded policy lets run alone, as the overlay's aliases
// have the request, and under no looser obligations. So does the overlay. Knowing
// more never turns a decision around.
func FuzzOverlayNeverWidens(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, embedded, overlay, req []byte) {
		e, o := generatePolicy(embedded), generatePolicy(overlay)
		both, aloneE, aloneO := mustStack(t, e, o), mustStack(t, e, ""), mustStack(t, o, "")
		r := generateRequest(t, req)
		d := Decide(both, r)
		say := fmt.Sprintf("%s\n%s\n%+v\n%+v", e, o, r, d)

		asked, errO := both.overlay.rewrite(r.Reference)
		final, errE := both.embedded.rewrite(asked.ref)
		if errO != nil || errE != nil {
			require.Equal(t, Deny, d.Verdict, "another digest than a pin")
			return
		}
		rE := r
		rE.Reference = asked.ref
		dE := Decide(aloneE, rE)
		require.Equal(t, dE.Reference, d.Reference, say)
		checkMeet(t, d, dE, dE.Dispatch, say)
		if len(both.overlay.doc.Limits.Match) == 0 { // They judge another name when it is alone.
			rO := r
			rO.Digest = d.Reference.Digest()
			if final.pin != "" {
				rO.TagDigest = final.pin
			}
			dO := Decide(aloneO, rO)
			written := both.overlay.doc.Dispatch
			for _, c := range dO.constraints {
				written = both.overlay.doc.WrittenDispatch(c.rule)
			}
			checkMeet(t, d, dO, written, say)
		}

		if d.Verdict.Permits() && d.Dispatch == DispatchBuiltin {
			require.Empty(t, unserved(final.ref, d.Obligations), say)
		}
		if d.Reference.Digest() != "" {
			require.NotEqual(t, Undecidable, d.Verdict, say)
			return
		}
		for _, known := range []digest.Digest{digestA, digestB, digestC} {
			if r.TagDigest != "" && r.TagDigest != known {
				continue // The tag moved: that is news of another kind.
			}
			r.Digest = known
			if after := Decide(both, r); d.Verdict != Undecidable {
				require.Equal(t, d.Verdict, after.Verdict, say)
			}
		}
	})
}

// checkMeet fails if a decision is looser than that of one of its layers. written is the dispatch
// that this layer has even beside a built-in frontend. That is checked as early as a mediated one;
// see [dispatchUnder].
func checkMeet(t *testing.T, d, one Decision, written Dispatch, say string) {
	t.Helper()
	require.Equal(t, d.Verdict == Warn, len(d.Warnings) > 0, say)
	if one.Verdict == Deny {
		require.Equal(t, Deny, d.Verdict, say)
	}
	if !d.Verdict.Permits() {
		require.Equal(t, Obligations{}, d.Obligations, say)
		return
	}
	require.True(t, one.Verdict.Permits(), say)
	require.True(t, d.Verdict == Warn || one.Verdict == Allow, say)
	require.True(t, d.TagUnverified || !one.TagUnverified, say)
	require.True(t, d.Dispatch == DispatchMediate || written != DispatchMediate, say)
	require.True(t, d.Dispatch != DispatchForward || one.Dispatch != DispatchMediate, say)
	require.True(t, d.Timeout <= one.Timeout && d.Nesting <= one.Nesting && d.Nesting > 0, say)
	requireTighter(t, d.Obligations, one.Obligations, say)
	for key := range d.Obligations.Force {
		if _, own := one.Obligations.Force[key]; !own {
			require.Empty(t, globs.First(one.Obligations.Deny, key), say)
			require.NotContains(t, one.Obligations.Strip, key, say)
			require.True(t, len(one.Obligations.Only) == 0 || globs.First(one.Obligations.Only, key) != "",
				say)
		}
	}
}

func requireTighter(t *testing.T, a, b Obligations, say string) {
	t.Helper()
	require.True(t, a.RequireDigest || !b.RequireDigest, say)
	require.True(t, a.Inputs == ActionDeny || b.Inputs != ActionDeny, say)
	require.Subset(t, a.Strip, b.Strip, say)
	require.Subset(t, a.Deny, b.Deny, say)
	require.Subset(t, a.Force, b.Force, say)
	for _, held := range b.Build {
		require.True(t, slices.ContainsFunc(a.Build, func(o BuildObligation) bool {
			return o.Rule == held.Rule && o.Mode == held.Mode && reflect.DeepEqual(o.Build, held.Build)
		}), say)
	}
	if len(b.Digests) > 0 {
		require.NotEmpty(t, a.Digests, say)
		require.Subset(t, b.Digests, a.Digests, say)
	}
	if len(b.Only) > 0 {
		require.NotEmpty(t, a.Only, say)
		for _, g := range a.Only {
			require.True(t, slices.ContainsFunc(b.Only, func(by string) bool { return globs.Match(by, g) }),
				say)
		}
	}
}

// FuzzExplainIsDecide: Explain, which asks every rule, comes to the decision of
// Decide, which asks those that its index finds. Each step has a reason that can be
// printed, each rule a step, each layer that judged a verdict.
func FuzzExplainIsDecide(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, embedded, overlay, req []byte) {
		e, o := generatePolicy(embedded), generatePolicy(overlay)
		l := mustStack(t, e, o)
		if len(overlay)%2 == 0 {
			l = mustStack(t, e, "")
		}
		r := generateRequest(t, req)
		trace := Explain(l, r)
		require.Equal(t, Decide(l, r), trace.Decision, "%s\n%s\n%+v", e, o, r)
		_, err := json.Marshal(trace)
		require.NoError(t, err)
		rules := map[string]int{}
		verdicts := map[string]Verdict{}
		for _, s := range trace.Steps {
			require.NotEmpty(t, s.Kind)
			require.NotEmpty(t, s.Reason, "%+v", s)
			require.Equal(t, -1, strings.IndexFunc(s.Reason, unicode.IsControl), "%q", s.Reason)
			switch s.Kind {
			case StepRule:
				rules[s.Layer]++
				require.NotEmpty(t, s.Result)
				require.Positive(t, s.Line)
			case StepLayer:
				verdicts[s.Layer] = s.Verdict
			}
		}
		for layer, p := range map[string]*Policy{LayerPolicy: l.embedded, LayerOverlay: l.overlay} {
			if p != nil && verdicts[layer] != "" {
				require.Equal(t, len(p.doc.Frontends), rules[layer])
			}
		}
		if rule := trace.Decision.Rule; rule != InvariantRule && rule != LimitsRule {
			require.NotEmpty(t, verdicts[LayerPolicy])
		}
	})
}

// choices turns fuzzed bytes into choices; when they run out it takes the first.
type choices []byte

func (c *choices) next(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *choices) of(items ...string) string { return items[c.next(len(items))] }

// field writes a line with one of the values, or nothing for the empty one.
func (c *choices) field(b *strings.Builder, format string, values ...string) {
	if v := c.of(values...); v != "" {
		fmt.Fprintf(b, format+"\n", v)
	}
}

func generatePolicy(data []byte) string {
	c := choices(data)
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ndefault: %s\n", c.of("deny", "allow"))
	c.field(&b, "mode: %s", "", "", "warn", "enforce")
	c.field(&b, "limits: {match: [%s]}", "", "", "", "docker.io/**", "\"**/a\", x.example/b")
	c.field(&b, "aliases: [%s]", "", "", "{from: a, to: x.example/a}",
		"{from: docker.io/library/**, to: c/**}", `{from: a, to: a, pins: {"1": "`+digestA+`"}}`,
		`{from: b, to: a, pins: {"1.2": "`+digestB+`"}}, {from: x.example/**, to: docker.io/**}`)
	if rules := c.next(5); rules > 0 {
		b.WriteString("frontends:\n")
		for range rules {
			generateRule(&b, &c)
		}
	}
	c.field(&b, "dispatch: %s", "", "", "mediate", "builtin")
	c.field(&b, "build: {%s}", "", "", "images: {deny: [x]}", "containers: allow, local: {allow: [c]}")
	return b.String()
}

func generateRule(b *strings.Builder, c *choices) {
	fmt.Fprintf(b, "- match: [%s]\n",
		c.of(`"**"`, "a", "b", `docker.io/library/*`, `"**/a"`, "x.example/a", "c/*, a", "docker.io/**/a",
			"x.ex*/**", "x.example:*/**", "\"*.example/a\"", "x.example:80/a",
			"docker/dockerfile"))
	c.field(b, "  tags: [%s]", "", "", `"1"`, `"1.*"`, `"*"`)
	c.field(b, "  versions: %q", "", "", ">=1.0.0 <2.0.0", "1.2", "<1.2 || >=3")
	c.field(b, "  variants: [%s]", "", "labs")
	c.field(b, "  exceptTags: [%s]", "", "", `"1.2*"`)
	c.field(b, "  digests: [%s]", "", "", `"`+digestA+`"`, `"`+digestB+`"`,
		`"`+digestA+`", "`+digestB+`"`)
	c.field(b, "  expires: %s", "", "", "2027-01-01")
	c.field(b, "  mode: %s", "", "", "warn", "enforce")
	if c.next(3) == 1 {
		b.WriteString("  action: deny\n")
		return
	}
	c.field(b, "  requireDigest: %s", "", "", "true")
	c.field(b, "  warnAfter: %s", "", "", "2026-06-01")
	c.field(b, "  options: {%s}", "", "",
		"deny: [k1]", "strip: [\"k*\"]", "force: {k1: v}", "force: {k1: w, k2: v}", "only: [k1, \"x*\"]",
		"only: [\"*1\", k2], inputs: deny", "deny: [\"x*\"], strip: [k2], force: {k1: v}")
}

func generateRequest(t *testing.T, data []byte) Request {
	t.Helper()
	c := choices(data)
	name := c.of("a", "b", "x.example/a", "c/a", "x.example/b", "x.example:80/a", "y.x.example/a",
		"docker/dockerfile")
	ref := mustRef(t, name+c.of("", ":1", ":1.2", ":3", ":1.2-labs", ":1.2.0-rc1", ":V01.2", ":x"))
	switch c.next(4) {
	case 1:
		ref = mustRef(t, name+"@"+digestA)
	case 2:
		ref = mustRef(t, name+":1@"+digestA)
	case 3:
		ref = mustRef(t, name+":1.2@"+digestB)
	}
	r := Request{
		Reference: ref, TagDigest: digest.Digest(c.of("", digestA, digestB)),
		Digest: ref.Digest(), Options: map[string]string{},
	}
	for _, key := range []string{"k1", "k2", "x1", "source"} {
		if v := c.of("", "", "v", "w"); v != "" {
			r.Options[key] = v
		}
	}
	if c.next(3) == 1 {
		r.Inputs = []string{"base"}
	}
	r.Time = []time.Time{
		{},
		at("2026-01-01T00:00:00Z"), at("2026-12-01T00:00:00Z"),
		at("2027-02-01T00:00:00Z"),
	}[c.next(4)]
	return r
}
