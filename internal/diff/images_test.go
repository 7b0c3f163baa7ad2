package diff

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Lists of rules on images are compared as rules on frontends are.
func TestCompareRulesOnImages(t *testing.T) {
	t.Parallel()
	const text = "a:latest; no longer refused in a build: the image "
	for _, tt := range []struct {
		name, a, b string
		want       []string
	}{
		{
			"a version more", `[{match: [golang], versions: ">=1.22"}]`,
			`[{match: [golang], versions: ">=1.21"}]`,
			[]string{"+loosened " + text + "docker.io/library/golang:1.21"},
		},
		{
			"a version less", `[{match: [golang], versions: ">=1.21"}]`,
			`[{match: [golang], versions: ">=1.22"}]`,
			[]string{"-tightened a:latest; now refused in a build: the image docker.io/library/golang:1.21"},
		},
		{
			"a denied tag less", `[{match: ["**"], action: deny, tags: [latest, "*-rc"]}]`,
			`[{match: ["**"], action: deny, tags: [latest]}]`,
			[]string{"+loosened " + text + "other.example/other:other-rc"},
		},
		{
			"a digest more", `[{match: [x], digests: ["` + digestA + `"]}]`,
			`[{match: [x], digests: ["` + digestA + `", "` + digestB + `"]}]`,
			[]string{"+loosened " + text + "docker.io/library/x@" + digestB},
		},
		{
			"a rule that only warns", `[{match: [x], action: deny}]`,
			`[{match: [x], action: deny, mode: warn}]`,
			[]string{"+loosened " + text + "docker.io/library/x:latest"},
		},
		{
			"a rule that ends", `[{match: [x], action: deny}]`,
			`[{match: [x], action: deny, expires: 2027-03-01}]`,
			[]string{"+loosened " + text + "docker.io/library/x:latest from 2027-03-01T00:00:00Z"},
		},
		{
			"a rule that ends later", `[{match: [x], expires: 2027-03-01}, {match: [y]}]`,
			`[{match: [x], expires: 2027-03-02}, {match: [y]}]`,
			[]string{"+loosened " + text + "docker.io/library/x:latest from 2027-03-01T00:00:00Z"},
		},
		{"other names and messages", `[{name: a, match: [x], message: m}]`, `[{name: b, match: [x]}]`, nil},
		{
			"an allow that is written as a list", "{allow: [x, y], deny: [z]}",
			`[{match: [x]}, {match: [docker.io/library/y]}, {match: [z], action: deny}]`, nil,
		},
		{
			"a list in the fields", `[{match: [x], tags: ["1"]}, {match: [y]}]`,
			`{rules: [{match: [x], tags: ["1"]}], allow: [y]}`, nil,
		},
		{
			"a digest required by the rule or by all",
			`[{match: [x], requireDigest: true}]`, `{allow: [x], requireDigest: true}`, nil,
		},
		{"an allowlist less", `[{match: [x]}]`, `[{match: [y], action: deny}]`, []string{
			"+loosened " + text + "other.example/other:latest",
		}},
		{
			"a denial less that only a converted name meets",
			`{rules: [{match: ["m.example/a/**"], action: deny}], convert: [{from: "m.example/**", to: "n.example/**"}, {from: "x.example/**", to: "m.example/**"}]}`,
			`{convert: [{from: "m.example/**", to: "n.example/**"}, {from: "x.example/**", to: "m.example/**"}]}`,
			[]string{"+loosened " + text + "m.example:49151/a/other/other:latest; " +
				"no longer refused in a build: the image x.example/a/other:latest"},
		},
		{
			"a pin less for a tag that is denied under another digest",
			`{rules: [{match: [x], tags: ["1"], digests: ["` + digestA + `"]}], pins: {"x:1": "` + digestA + `"}}`,
			`{rules: [{match: [x], tags: ["1"], digests: ["` + digestA + `"]}]}`,
			[]string{
				"-tightened a:latest; now refused in a build: the image docker.io/library/x:1",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policyOf := func(images string) string {
				return head + "- {name: a, match: [a], dispatch: mediate, build: {images: " + images + "}}\n"
			}
			r := Compare(parse(t, policyOf(tt.a)), parse(t, policyOf(tt.b)), now())
			require.Equal(t, tt.want, lines(r))
			require.True(t, r.Complete)
			require.Empty(t, r.Uncompared)
		})
	}
}

// A change that the other rules hide isn't reported where some image is allowed as before.
func TestAHiddenChangeOfRulesOnImages(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"{allow: [x]}", "{allow: [x], deny: [z]}"},
		{`[{match: [x], tags: ["1"]}]`, `[{match: [x], tags: ["1"]}, {match: [z], action: deny}]`},
	} {
		policyOf := func(images string) string {
			return head + "- {name: a, match: [a], build: {images: " + images + "}}\n"
		}
		r := Compare(parse(t, policyOf(tt[0])), parse(t, policyOf(tt[1])), now())
		require.Empty(t, r.Uncompared)
		require.False(t, r.Widened)
	}
}

func TestRulesOnImagesThatNoSampleMatches(t *testing.T) {
	t.Parallel()
	policyOf := func(rule string) string {
		return head + "- {name: a, match: [a], build: {images: [{match: [y]}" + rule + "]}}\n"
	}
	r := Compare(parse(t, policyOf("")),
		parse(t, policyOf(`, {name: b, match: [x], versions: ">1.2.3-beta.5 <1.2.3-beta.7"}`)), now())
	require.Equal(t, []string{"build.images.rules: b, because it matches no sample"}, r.Uncompared)
	require.True(t, r.Widened)
}
