package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhichImagesCanMakeAnSBOM(t *testing.T) {
	t.Parallel()
	const syft = "docker/buildkit-syft-scanner"
	const allowed = `sbom: {generators: {allow: [docker/buildkit-syft-scanner, "corp.example/**"], ` +
		`deny: ["**/old"]}}`
	for name, tt := range map[string]struct {
		policy, overlay string // fields
		image           string
		want            string // "" if it is allowed
	}{
		"no image by default": {
			"", "", syft + ":stable-1",
			"the policy refuses an SBOM by docker.io/docker/buildkit-syft-scanner:stable-1 (sbom.generators)",
		},
		"no image, whatever the mode": {
			"mode: warn\ndefault: allow", "", syft, "(sbom.generators)",
		},
		"an image that is listed": {allowed, "", syft + ":stable-1", ""},
		"an image that is listed, by its digest": {
			allowed, "",
			syft + "@sha256:1111111111111111111111111111111111111111111111111111111111111111", "",
		},
		"an image by another name of its host": {allowed, "", "index.docker.io/" + syft, ""},
		"an image below a name with stars":     {allowed, "", "corp.example/a/scanner", ""},
		"the same tag of another repository": {
			allowed, "", "evil/buildkit-syft-scanner:stable-1",
			"it allows only docker/buildkit-syft-scanner or corp.example/** (sbom.generators.allow)",
		},
		"a repository below the listed one": {allowed, "", syft + "/x", "(sbom.generators.allow)"},
		"another port": {
			allowed, "", "corp.example:8080/a", "(sbom.generators.allow)",
		},
		"a denied image": {
			allowed, "", "corp.example/old", "(sbom.generators.deny: **/old)",
		},
		"an empty list": {"sbom: {generators: {allow: []}}", "", syft, "(sbom.generators.allow)"},
		"an overlay without the field leaves it to the policy": {allowed, "id: x", syft, ""},
		"an overlay can tighten": {
			allowed, "sbom: {generators: {allow: [corp.example/scan]}}", syft,
			"the overlay decided: the overlay refuses an SBOM by",
		},
		"an overlay can't widen": {
			"", "sbom: {generators: {allow: [docker/buildkit-syft-scanner]}}", syft,
			"the policy refuses an SBOM by",
		},
	} {
		l := stackOf(t, tt.policy, tt.overlay)
		r := l.DecideGenerator(refs(t, tt.image)[0])
		require.Equal(t, SBOMRule, r.Rule, name)
		if tt.want == "" {
			require.Equal(t, Allow, r.Verdict, name+": "+r.Reason)
			continue
		}
		require.Equal(t, Deny, r.Verdict, name)
		require.Contains(t, r.Reason, tt.want, name)
		require.Contains(t, l.Denial(r), "sbom.generators.allow", name)
	}
	require.Equal(t, Deny, Layers{}.DecideGenerator(refs(t, syft)[0]).Verdict)
}

func TestMistakesInSBOM(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ fields, want string }{
		"no field":      {"{}", "sbom is empty"},
		"no generators": {"{images: [a]}", "images"},
		"a plain list":  {"{generators: [a]}", "generators"},
		"no allow": {
			"{generators: {deny: [a]}}", "generators has no allow, so nothing is allowed",
		},
		"a tag":            {"{generators: {allow: [\"a:1\"]}}", "a:1"},
		"an invalid name":  {"{generators: {allow: [\"A b\"]}}", "A b"},
		"an empty deny":    {"{generators: {allow: [a], deny: []}}", "deny is empty"},
		"all by one value": {"{generators: true}", "generators"},
	} {
		_, err := Parse("p", []byte("version: 1\nsbom: "+tt.fields+"\n"))
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestExplainShowsWhatMakesSBOMs(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends: [{match: [docker/dockerfile]}]
sbom: {generators: {allow: [a/b], deny: [a/c]}}`, `frontends: [{match: ["**"]}]
sbom: {generators: {allow: []}}`)
	var shown []string
	for _, s := range Explain(l, Request{Reference: refs(t, "docker/dockerfile")[0]}).Steps {
		if s.Kind == StepSBOM {
			shown = append(shown, s.Layer+": "+s.Reason)
		}
	}
	require.Equal(t, []string{
		"overlay: policy-guard lets only these images make SBOMs: none",
		"policy: policy-guard lets only these images make SBOMs: a/b, but not a/c",
	}, shown)
}
