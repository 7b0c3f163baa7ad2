package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestExplainCheckNamesWhatMisses(t *testing.T) {
	t.Parallel()
	const pin = `"sha256:1111111111111111111111111111111111111111111111111111111111111111"`
	http := func(u string) buildrules.Operation {
		return buildrules.Operation{HTTP: &buildrules.HTTP{URL: u}}
	}
	for _, tt := range []struct {
		name, rules string
		operation   buildrules.Operation
		want        []string
	}{
		{
			"another scheme", `http: {deny: ["https://a.example/**"]}`, http("http://a.example/x"),
			[]string{"missed build.http.deny: https://a.example/**: the scheme is http, and not https"},
		},
		{
			"sets of conditions",
			`config: [{targets: [x, "y*"], user: {forbid: [root]}}, {exceptTargets: [z], env: {forbid: [A]}}, ` +
				`{results: runnable, env: {forbid: [A]}}, {env: {forbid: [A]}}]`,
			buildrules.Operation{Config: &buildrules.Config{Target: "Z"}},
			[]string{
				"missed build.config: targets: x, y*: it is for other targets than z",
				"missed build.config: exceptTargets: z: it is not for the target z",
				"missed build.config: results: runnable: it is for results that have an entrypoint or a command",
			},
		},
		{
			"a set of conditions that is for the result",
			`config: [{targets: [x], exceptTargets: [y], user: {forbid: [root]}}]`,
			buildrules.Operation{Config: &buildrules.Config{}},
			[]string{"matched build.config: targets: x; exceptTargets: y: it is for this result"},
		},
		{
			"another host", `http: {deny: ["https://b.example/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.deny: https://b.example/**: the host is a.example, and not b.example"},
		},
		{
			"another port", `http: {allow: ["https://a.example:8443/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.allow: https://a.example:8443/**: the port is the default, and not 8443"},
		},
		{
			"another path", `http: {allow: ["https://a.example/y/**"]}`, http("https://a.example/x"),
			[]string{"missed build.http.allow: https://a.example/y/**: the path is /x, and not /y/**"},
		},
		{
			"a match", `http: {allow: ["https://a.example/**"]}`, http("https://a.example/x"),
			[]string{"matched build.http.allow: https://a.example/**: it matches https://a.example/x"},
		},
		{
			"another repository", `images: {deny: ["quay.io/org/**"]}`, image("quay.io/x"),
			[]string{"missed build.images.deny: quay.io/org/**: the path is x, and not org/**"},
		},
		{
			"a name in short form", `images: {deny: ["busybox"]}`, image("quay.io/library/busybox"),
			[]string{"missed build.images.deny: busybox: the host is quay.io, and not docker.io (it means " +
				"docker.io/library/busybox)"},
		},
		{
			"a pin of another tag", `images: {pins: {"a.example/x:1": ` + pin + `}}`, image("a.example/x:2"),
			[]string{"missed build.images.pins: a.example/x:1: the tag is another one: 2"},
		},
		{
			"a conversion", `images: {convert: [{from: a.example/x, to: b.example/x}], allow: [b.example/x]}`,
			image("a.example/x"),
			[]string{
				"matched build.images.convert: a.example/x becomes b.example/x",
				"matched build.images.allow: b.example/x: it matches b.example/x",
			},
		},
		{
			"a directory", `local: {deny: [home]}`,
			buildrules.Operation{Local: "context"},
			[]string{`missed build.local.deny: home: the name is "context"`},
		},
		{"a kind without rules", `local: {deny: [home]}`, image("x"), nil},
		{
			"a long list", `local: {deny: [home` + strings.Repeat(", x", 20) + `]}`,
			buildrules.Operation{Local: "home"},
			[]string{
				`matched build.local.deny: home: the name is "home"`,
				"missed build.local.deny: 20 other entries don't match",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := decided(t, "{version: 1, default: allow, dispatch: mediate, build: {"+tt.rules+"}}", "")
			var got []string
			for _, s := range d.ExplainCheck(tt.operation) {
				require.Equal(t, BuildRule, s.Rule)
				require.Equal(t, LayerPolicy, s.Layer)
				got = append(got, string(s.Result)+" "+s.Entry+": "+s.Reason)
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// What ExplainCheck says of patterns is what Check did with them.
func TestExplainCheckAgreesWithCheck(t *testing.T) {
	t.Parallel()
	hosts := []string{"a.example", "b.example:5000", "*.example", "docker.io"}
	paths := []string{"x", "x/y", "*", "**"}
	for _, host := range hosts {
		for _, path := range paths {
			if host == "docker.io" && path == "*" {
				continue // It can mean two things, so it is an error.
			}
			for _, list := range []string{"allow", "deny"} {
				for _, asked := range []string{"a.example/x", "b.example:5000/x/y", "b.example/x", "x/y", "x"} {
					d := decided(t, "{version: 1, default: allow, dispatch: mediate, build: {images: {"+list+
						`: ["`+host+"/"+path+`"]}}}`, "")
					steps := d.ExplainCheck(image(asked))
					require.Len(t, steps, 1)
					require.Equal(t, d.Check(image(asked)).Verdict == Allow,
						(steps[0].Result == Matched) == (list == "allow"), "%s/%s %s", host, path, asked)
				}
			}
		}
	}
}
