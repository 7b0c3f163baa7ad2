package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestLLBOfTheClient(t *testing.T) {
	const frontends = "version: 1\nfrontends: [{match: [docker/dockerfile]}]\n"
	for name, tc := range map[string]struct {
		policy, overlay string
		want            Verdict
		why             string
	}{
		"the default": {policy: frontends, want: Deny, why: "llb: deny, which is the default"},
		"deny":        {policy: frontends + "llb: deny", want: Deny, why: "llb: deny"},
		"allow":       {policy: frontends + "llb: allow", want: Allow},
		"deny in a policy that only warns": {
			policy: frontends + "mode: warn", want: Deny, why: "llb: deny",
		},
		"deny in a policy that allows every frontend": {
			policy: "version: 1\ndefault: allow", want: Deny, why: "llb: deny",
		},
		"an overlay that says nothing": {
			policy: frontends + "llb: allow", overlay: frontends, want: Allow,
		},
		"an overlay that denies": {
			policy: frontends + "llb: allow", overlay: frontends + "llb: deny", want: Deny,
			why: "the overlay decided",
		},
		"an overlay that allows": {
			policy: frontends, overlay: frontends + "llb: allow", want: Deny, why: "llb: deny",
		},
	} {
		t.Run(name, func(t *testing.T) {
			layers := mustStack(t, tc.policy, tc.overlay)
			d := layers.LLB(time.Time{})
			require.Equal(t, tc.want, d.Verdict)
			trace := layers.ExplainLLB(time.Time{})
			require.Equal(t, d, trace.Decision)
			refuses := func(s Step) bool { return s.Verdict == Deny }
			require.Equal(t, tc.want == Deny, slices.ContainsFunc(trace.Steps, refuses), trace.Steps)
			require.Len(t, trace.Steps, len(layers.each()), "there are no build rules")
			require.Equal(t, LLBRule, d.Rule)
			require.Contains(t, d.Reason, tc.why)
			if tc.want == Deny {
				require.Contains(t, d.Denial(""), "LLB that no frontend made is refused: "+d.Reason)
				require.NotNil(t, d.Messages)
				require.Equal(t, Deny, d.Check(image("busybox")).Verdict)
			}
		})
	}
	d := Layers{}.LLB(time.Time{})
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, "there is no policy, so nothing is allowed", d.Reason)
	require.Equal(t, Trace{Decision: d, Steps: []Step{}}, Layers{}.ExplainLLB(time.Time{}))
}

func TestTheFieldLLBIsChecked(t *testing.T) {
	_, err := Parse("p", []byte("version: 1\nllb: perhaps"))
	require.ErrorContains(t, err, `llb must be a mapping of fields, allow or deny, not "perhaps"`)
	_, err = Parse("p", []byte("version: 1\nfrontends: [{name: llb, match: [a]}]"))
	require.ErrorContains(t, err, "reserved")
}

func TestTheBuildRulesOfTheWholePolicyBindLLB(t *testing.T) {
	root := buildrules.Operation{Exec: &buildrules.Exec{Insecure: true}}
	for name, tc := range map[string]struct {
		policy, overlay string
		allowed, denied []buildrules.Operation
	}{
		"no build rules": {
			policy: "frontends: [{match: [a]}]", allowed: []buildrules.Operation{image("evil"), root},
			denied: []buildrules.Operation{{Unknown: "a new kind"}},
		},
		"those of the whole policy, and not those of a rule": {
			policy: "build: {images: {allow: [corp/**]}, exec: {networks: [none]}}\n" +
				"frontends: [{match: [a], build: {images: {allow: [other/**]}, exec: {insecure: true}}}]",
			allowed: []buildrules.Operation{image("corp/x")},
			denied:  []buildrules.Operation{image("other/x"), root},
		},
		"those of all rules, where the whole policy has none": {
			policy: "frontends:\n" +
				"- {name: a, match: [a], build: {images: {allow: [corp/**]}}}\n" +
				"- {name: b, match: [b], expires: 2020-01-01, build: {images: {deny: [corp/bad]}}}\n" +
				"- {name: c, match: [c]}",
			allowed: []buildrules.Operation{image("corp/x"), root},
			denied:  []buildrules.Operation{image("corp/bad"), image("x")},
		},
		"those of an overlay too": {
			policy:  "build: {images: {allow: [corp/**]}}",
			overlay: "build: {images: {deny: [corp/bad]}}",
			allowed: []buildrules.Operation{image("corp/x")},
			denied:  []buildrules.Operation{image("corp/bad"), image("x")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			overlay := tc.overlay
			if overlay != "" {
				overlay = "version: 1\n" + overlay
			}
			d := mustStack(t, "version: 1\nllb: allow\n"+tc.policy, overlay).LLB(at("2027-01-01T00:00:00Z"))
			require.Equal(t, Allow, d.Verdict)
			for _, o := range tc.allowed {
				require.Equal(t, Allow, d.Check(o).Verdict, "%+v", o)
			}
			for _, o := range tc.denied {
				require.Equal(t, Deny, d.Check(o).Verdict, "%+v", o)
			}
			bound := len(d.Obligations.Build) > 0
			require.Equal(t, name != "no build rules", bound)
		})
	}
}

// If several rules bind LLB, a conversion by one would replace what another has checked.
func TestSeveralRulesConvertNoImageOfLLB(t *testing.T) {
	const doc = "version: 1\nllb: allow\nfrontends:\n" +
		"- {name: a, match: [a], build: {images: {allow: [corp/**]}}}\n" +
		"- {name: b, match: [b], build: {images: {convert: [{from: corp/x, to: evil.example/x}]}}}\n"
	r := mustStack(t, doc, "").LLB(at("2027-01-01T00:00:00Z")).Check(image("corp/x"))
	require.Equal(t, Allow, r.Verdict)
	require.Empty(t, r.Image.Name())
	one := mustStack(t, "version: 1\nllb: allow\nbuild: {images: {convert: [{from: corp/x, "+
		"to: mirror.example/x}]}}", "").LLB(at("2027-01-01T00:00:00Z")).Check(image("corp/x"))
	require.Equal(t, "mirror.example/x", one.Image.Name())
}

// Whatever the policies, an overlay allows no LLB that the policy refuses.
func TestAnOverlayNeverWidensWhatLLBMayDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() []byte {
		b := make([]byte, 64)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	generate := func(llb string) string {
		return generateBuildPolicy(random(), false) + "llb: " + llb + "\n"
	}
	words, allowed, refused := []string{"allow", "deny"}, 0, 0
	for range 1000 {
		e, o := generate(words[r.IntN(2)]), generate(words[r.IntN(2)])
		if r.IntN(3) == 0 {
			e = generate("allow")
			o = generateBuildPolicy(random(), false)
		}
		if onlyOverlayHasDownloads(t, e, o) {
			continue
		}
		c := choices(random())
		operation := generateOperation(&c)
		both := mustStack(t, e, o).LLB(time.Time{})
		alone := mustStack(t, e, "").LLB(time.Time{})
		met, single := both.Check(operation), alone.Check(operation)
		say := fmt.Sprintf("%s\n%s\n%+v", e, o, operation)
		if met.Image.Name() != "" { // what is read has to be allowed, such as a pinned image
			single = alone.Check(image(met.Image.String()))
		}
		if operation.Image == "" {
			require.GreaterOrEqual(t, strictness(met.Verdict), strictness(single.Verdict), say)
		}
		switch {
		case met.Verdict != Deny:
			allowed++
			require.NotEqual(t, Deny, alone.Verdict, say)
			require.NotEqual(t, Deny, single.Verdict, say)
		case single.Verdict != Deny:
			refused++
		}
	}
	require.Greater(t, allowed, 100, "else the property says nothing")
	require.Greater(t, refused, 100, "else the property says nothing")
}
