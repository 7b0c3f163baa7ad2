package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Frontends carry programs in their own image, and mount it into build steps.
func TestAFrontendsOwnImageNeedsNoAllow(t *testing.T) {
	t.Parallel()
	const own = "tools.example/nix:1@" + digestA
	for name, tt := range map[string]struct {
		build, dispatch, ref string
		reason               string // "" if it is allowed
	}{
		"a list of other images":            {`{images: {allow: [busybox]}}`, "mediate", own, ""},
		"a list, after forward":             {`{images: {allow: [busybox]}}`, "forward", own, ""},
		"rules for other images":            {`{images: [{match: [busybox]}]}`, "mediate", own, ""},
		"a rule for another tag of it":      {`{images: [{match: ["tools.example/nix"], tags: ["2"]}]}`, "mediate", own, ""},
		"a digest alone":                    {`{images: {allow: [busybox]}}`, "mediate", "tools.example/nix@" + digestA, ""},
		"a digest where one is required":    {`{images: {allow: [busybox], requireDigest: true}}`, "mediate", own, ""},
		"a conversion, which would move it": {`{images: {allow: [busybox], convert: [{from: "tools.example/**", to: "x.example/**"}]}}`, "mediate", own, ""},

		"another digest":                 {`{images: {allow: [busybox]}}`, "mediate", "tools.example/nix:1@" + digestB, "it allows only busybox"},
		"another tag":                    {`{images: {allow: [busybox]}}`, "mediate", "tools.example/nix:2@" + digestA, "it allows only busybox"},
		"the tag without its digest":     {`{images: {allow: [busybox]}}`, "mediate", "tools.example/nix:1", "it allows only busybox"},
		"another repository":             {`{images: {allow: [busybox]}}`, "mediate", "tools.example/nix/x:1@" + digestA, "it allows only busybox"},
		"a denied name":                  {`{images: {allow: [busybox], deny: ["tools.example/**"]}}`, "mediate", own, "build.images.deny"},
		"a deny rule":                    {`{images: [{match: [busybox]}, {match: ["tools.example/**"], action: deny}]}`, "mediate", own, "denies it"},
		"all images denied":              {`{images: deny}`, "mediate", own, "images is denied"},
		"all other sources denied":       {`{others: deny}`, "mediate", own, "no rule allows images"},
		"a pin to another digest":        {`{images: {pins: {"tools.example/nix:1": "` + digestB + `"}}}`, "mediate", own, "it pins"},
		"a list in the policy, warnings": {`{images: {allow: [busybox], mode: warn}}`, "mediate", own, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, "version: 1\ndispatch: "+tt.dispatch+"\nbuild: "+tt.build+
				"\nfrontends: [{match: [tools.example/nix]}]\n", "")
			d := Decide(l, request(t, "tools.example/nix:1", digestA))
			require.Equal(t, Allow, d.Verdict, d.Reason)
			r := d.Check(image(tt.ref))
			if tt.reason != "" {
				require.Equal(t, Deny, r.Verdict)
				require.Contains(t, r.Reason, tt.reason)
				return
			}
			require.Equal(t, Allow, r.Verdict, r.Reason)
			require.Zero(t, r.Image, "it is not converted")
		})
	}
}

func TestTheBuiltInFrontendHasNoImageOfItsOwn(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\ndispatch: builtin\nbuild: {images: {allow: [busybox]}}\n"+
		"frontends: [{match: [docker/dockerfile]}]\n", "")
	d := Decide(l, request(t, "docker/dockerfile:1", digestA))
	require.Equal(t, DispatchBuiltin, d.Dispatch)
	require.Equal(t, Deny, d.Check(image("docker/dockerfile:1@"+digestA)).Verdict)
}

// Each frontend has its own image, and no image of the frontends around it.
func TestANestedFrontendsOwnImageIsThatOfItsDecision(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\ndispatch: mediate\nbuild: {images: {allow: [busybox]}}\n"+
		"frontends: [{match: [tools.example/nix, tools.example/inner]}]\n", "")
	outer := Decide(l, request(t, "tools.example/nix:1", digestA))
	inner := Decide(l, request(t, "tools.example/inner:1", digestB)).Within(outer)
	require.Equal(t, Allow, inner.Check(image("tools.example/inner:1@"+digestB)).Verdict)
	require.Equal(t, Deny, inner.Check(image("tools.example/nix:1@"+digestA)).Verdict)
	require.Equal(t, Deny, outer.Check(image("tools.example/inner:1@"+digestB)).Verdict)
}

func TestAnOverlayCanDenyAFrontendsOwnImage(t *testing.T) {
	t.Parallel()
	const doc = "version: 1\ndispatch: mediate\nbuild: {images: {allow: [busybox]}}\n" +
		"frontends: [{match: [tools.example/nix]}]\n"
	for overlay, want := range map[string]Verdict{
		doc: Allow,
		strings.Replace(doc, "allow: [busybox]", `deny: ["tools.example/**"]`, 1): Deny,
	} {
		overlay = strings.Replace(overlay, "dispatch: mediate\n", "", 1)
		d := Decide(mustStack(t, doc, overlay), request(t, "tools.example/nix:1", digestA))
		require.Equal(t, want, d.Check(image("tools.example/nix:1@"+digestA)).Verdict)
	}
}

func TestExplainSaysWhyAFrontendsOwnImagePasses(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `{version: 1, dispatch: mediate, frontends: [{match: [tools.example/nix]}], build: `+
		`{images: {rules: [{match: [a]}, {name: no, match: [b], action: deny}], allow: [busybox], deny: [bad]}}}`, "")
	d := Decide(l, request(t, "tools.example/nix:1", digestA))
	var got []string
	for _, s := range d.ExplainCheck(image("tools.example/nix:1@" + digestA)) {
		got = append(got, string(s.Result)+" "+s.Entry+": "+s.Reason)
	}
	require.Equal(t, []string{
		"matched build.images: tools.example/nix:1@" + digestA +
			" is the frontend's own image, so it needs no allow and isn't converted",
		"missed build.images.rules: no: it is for only b",
		"missed build.images.deny: bad: the host is tools.example, and not docker.io; the path is nix, and not " +
			"library/bad (it means docker.io/library/bad)",
	}, got)
}

func TestTheRefusalOfAnImageWithoutADigestNamesPins(t *testing.T) {
	t.Parallel()
	for _, images := range []string{
		`{requireDigest: true}`, `[{name: r, match: [a], requireDigest: true}]`,
	} {
		r := imageRuling(t, images, "a:1", "", "")
		require.Equal(t, Deny, r.Verdict)
		require.Contains(t, r.Reason,
			"write a:1@sha256:…, or pin the tag in the policy: images.pins (build.images.r")
	}
}
