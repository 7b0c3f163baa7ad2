package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// everyField has each field of the language that Parse takes.
const everyField = `version: 1
id: corp-ci
mode: warn
default: deny
contact: "#build-help"
defaultFrontend: docker/dockerfile:1.7.1
aliases:
  - from: docker/dockerfile
    to: mirror.example/docker/dockerfile
    pins: {1.7.1: "` + digestA + `", 1.10: "` + digestB + `"}
  - {from: docker.io/**, to: mirror.example/**}
frontends:
  - name: dockerfile
    match: ["mirror.example/docker/dockerfile"]
    tags: [1, "1.*"]
    versions: ">=1.4.0 <2.0.0 || ~3.1"
    variants: [labs]
    exceptTags: ["1.5.*"]
    mode: enforce
    options:
      deny: ["context:*", "build-arg:BUILDKIT_*", add-hosts]
      strip: ["build-arg:DEBUG*"]
      force: {"build-arg:SANDBOX": "sandbox", "label:team": 12}
      only: ["build-arg:*", filename]
      inputs: deny
    warnAfter: 2027-01-01
    expires: 2027-03-01T12:00:00+02:00
    contact: "#dockerfile"
limits: {match: ["mirror.example/**"]}
`

func TestParseReadsTheWholeLanguage(t *testing.T) {
	t.Parallel()
	p := mustParse(t, everyField)
	require.Equal(t, ModeWarn, p.doc.Mode)
	require.Len(t, p.doc.Aliases, 2)
	a := p.doc.Aliases[0]
	require.Equal(t, "docker/dockerfile", a.From)
	require.Equal(t, map[string]string{"1.7.1": digestA, "1.10": digestB}, a.Pins,
		"tags stay as written")
	require.Equal(t, []any{"policy.yaml", 8, 5}, []any{a.File(), a.Line(), a.Column()})
	from, to := a.Names()
	require.Equal(t, []string{"docker.io/docker/dockerfile", "mirror.example/docker/dockerfile"},
		[]string{from, to})
	require.Equal(t, []string{"mirror.example/**"}, p.doc.Limits.Match)
	require.Equal(t, []string{"mirror.example/**"}, p.doc.Limits.Patterns())

	r := p.doc.Frontends[0]
	require.Equal(t, ">=1.4.0 <2.0.0 || ~3.1", r.Versions)
	require.Equal(t, []string{"labs"}, r.Variants)
	require.Equal(t, []string{"1.5.*"}, r.ExceptTags)
	require.True(t, r.TagConditional())
	require.Equal(t, ModeEnforce, r.Mode)
	require.Equal(t, Options{
		Deny:   []string{"context:*", "build-arg:BUILDKIT_*", "add-hosts"},
		Strip:  []string{"build-arg:DEBUG*"},
		Force:  map[string]string{"build-arg:SANDBOX": "sandbox", "label:team": "12"},
		Only:   []string{"build-arg:*", "filename"},
		Inputs: ActionDeny,
	}, r.Options)
	require.Equal(t, "2027-01-01T00:00:00Z", r.WarnTime().UTC().Format("2006-01-02T15:04:05Z07:00"))
	require.Equal(t, "2027-03-01T10:00:00Z", r.ExpiryTime().UTC().Format("2006-01-02T15:04:05Z07:00"))
	require.Equal(t, "#dockerfile", r.Contact)
	require.Equal(t, "policy.yaml", r.File())

	plain := mustParse(t, "{version: 1, frontends: [{match: [a]}]}")
	require.Equal(t, ModeEnforce, plain.doc.Mode)
	require.Empty(t, plain.doc.Frontends[0].Mode, "a rule inherits the policy's mode")
	require.True(t, plain.doc.Frontends[0].WarnTime().IsZero())
	require.True(t, plain.doc.Frontends[0].ExpiryTime().IsZero())
	require.False(t, plain.doc.Frontends[0].TagConditional())
	require.Empty(t, plain.doc.Limits.Patterns())
}

func TestParseRefusesOfTheWholeLanguage(t *testing.T) {
	t.Parallel()
	const rule = "version: 1\nfrontends:\n- match: [a]\n"
	const alias = "version: 1\naliases:\n- "
	tests := []struct{ name, doc, want string }{
		{
			"an invalid mode", "version: 1\nmode: audit\n",
			`p:2:7: mode must be enforce or warn, not "audit"`,
		},
		{
			"a rule's mode that is none", rule + "  mode: off\n",
			`p:4:9: mode must be enforce or warn, not "off"`,
		},
		{"an alias without from", alias + "to: a\n", "p:3:3: the alias has no from"},
		{"an alias without to", alias + "from: a\n", "p:3:3: the alias has no to"},
		{"an alias from a tag", alias + "{from: \"a:1\", to: b}\n", `p:3:10: from: "a:1" has a tag`},
		{
			"an alias from a pattern", alias + "{from: \"docker/*\", to: b}\n",
			`p:3:10: from: "docker/*" is not one repository`,
		},
		{
			"an alias from everything", alias + "{from: \"**\", to: b}\n",
			`p:3:10: from: "**" is not one repository`,
		},
		{
			"an alias from a folder to a repository", alias + "{from: docker.io/**, to: b.example/c}\n",
			"p:3:28: from and to must both end in /** or both not",
		},
		{
			"an alias from a repository to a folder", alias + "{from: a, to: b.example/**}\n",
			"from and to must both end in /** or both not",
		},
		{
			"pins of a folder",
			alias + "{from: docker.io/**, to: b.example/**, pins: {\"1\": \"" + digestA + "\"}}\n",
			`p:3:48: pins need a from that is one repository, and "docker.io/**" is many`,
		},
		{"empty pins", alias + "{from: a, to: b, pins: {}}\n", "p:3:26: pins is empty"},
		{
			"a pin of a glob", alias + "{from: a, to: b, pins: {\"1*\": \"" + digestA + "\"}}\n",
			`p:3:27: pins: "1*" has a *; write the tag out`,
		},
		{
			"a pin of no tag", alias + "{from: a, to: b, pins: {\"\": \"" + digestA + "\"}}\n",
			"p:3:27: a name in pins is empty",
		},
		{
			"a pin to no digest", alias + "{from: a, to: b, pins: {\"1\": latest}}\n",
			`p:3:27: pins: "latest" is not a digest`,
		},
		{
			"a pin without a digest", alias + "{from: a, to: b, pins: {\"1\": ~}}\n",
			"p:3:32: pins[1] has no value",
		},
		{
			"a pin that is a list", alias + "{from: a, to: b, pins: {\"1\": [a]}}\n",
			"p:3:32: pins[1] must be a string, not a list",
		},
		{
			"a pin twice",
			alias + "from: a\n  to: b\n  pins:\n    1: " + digestA + "\n    \"1\": " + digestB + "\n",
			`p:7:5: duplicate field "1"; it is already set on line 6`,
		},
		{
			"pins that are a list", alias + "{from: a, to: b, pins: [a]}\n",
			"p:3:26: pins must be a mapping of strings, not a list",
		},
		{
			"an anchor in pins", alias + "{from: a, to: b, pins: {\"1\": &x a}}\n",
			"p:3:32: the anchor &x is not allowed",
		},

		{
			"versions that leave one out", rule + "  versions: \">=1.4 !=1.5.0\"\n",
			`p:4:13: versions: ">=1.4 !=1.5.0" leaves a version out; write the range without it, and the tag under exceptTags`,
		},
		{
			"versions that are none", rule + "  versions: newest\n",
			`p:4:13: versions: "newest": "newest" is not a range of versions`,
		},
		{
			"versions with nothing on a side", rule + "  versions: \">=1 || \"\n",
			"p:4:13: versions: \">=1 || \": there is nothing on one side of ||",
		},
		{
			"versions of which there are none", rule + "  versions: \">=2 <1\"\n",
			`p:4:13: versions: ">=2 <1": no version is ">=2 <1"`,
		},
		{
			"over-long versions", rule + "  versions: \">=1" + strings.Repeat(" ", 512) + "\"\n",
			"p:4:13: versions: it has 515 bytes, more than 512",
		},
		{"empty variants", rule + "  variants: []\n", "p:4:13: variants is empty"},
		{
			"a variant that is a glob", rule + "  versions: 1.x\n  variants: [\"*\"]\n",
			`variants: "*" has a *`,
		},
		{"empty exceptTags", rule + "  exceptTags: []\n", "p:4:15: exceptTags is empty"},
		{
			"an exceptTags that can't be", rule + "  exceptTags: [\"=1\"]\n",
			`p:4:16: exceptTags: "=1" has the character "="`,
		},

		{"empty options", rule + "  options: {}\n", "p:4:12: options is empty"},
		{"an unknown option list", rule + "  options: {allow: [a]}\n", `p:4:13: unknown field "allow"`},
		{"an empty deny", rule + "  options: {deny: []}\n", "p:4:19: deny is empty"},
		{"an empty strip", rule + "  options: {strip: []}\n", "p:4:20: strip is empty"},
		{"an empty only", rule + "  options: {only: []}\n", "p:4:19: only is empty"},
		{"an empty force", rule + "  options: {force: {}}\n", "p:4:20: force is empty"},
		{
			"inputs that are neither", rule + "  options: {inputs: none}\n",
			`p:4:21: inputs must be allow or deny, not "none"`,
		},
		{
			"options on a deny rule", rule + "  action: deny\n  options: {deny: [a]}\n",
			"p:5:12: options has no meaning on a deny rule",
		},
		{
			"a force that is a glob", rule + "  options: {force: {\"build-arg:*\": x}}\n",
			`p:4:21: force: "build-arg:*" has a *; force sets one option`,
		},
		{
			"a force that is also refused",
			rule + "  options: {deny: [\"build-arg:*\"], force: {\"build-arg:A\": x}}\n",
			`p:4:44: force: "build-arg:A" is also refused, by the entry "build-arg:*" of deny`,
		},
		{
			"a force that is also removed",
			rule + "  options: {strip: [\"*A\"], force: {\"build-arg:A\": x}}\n",
			`force: "build-arg:A" is also removed, by the entry "*A" of strip`,
		},
		{
			"a force of what carries the build", rule + "  options: {force: {cmdline: x}}\n",
			`force: "cmdline" carries the build itself`,
		},
		{
			"a force of the source", rule + "  options: {force: {source: x}}\n",
			`force: "source" carries the build itself`,
		},
		{
			"a force of the syntax", rule + "  options: {force: {\"build-arg:BUILDKIT_SYNTAX\": x}}\n",
			`force: "build-arg:BUILDKIT_SYNTAX" carries the build itself`,
		},
		{
			"a force of the policy frontend's own",
			rule + "  options: {force: {\"build-arg:POLICY_FRONTEND_POLICY\": x}}\n",
			"is an option of the policy frontend",
		},
		{
			"a force to an over-long value",
			rule + "  options: {force: {a: " + strings.Repeat("x", 8193) + "}}\n",
			`the value of "a" is longer than 8 KiB`,
		},
		{
			"a deny of what carries the build", rule + "  options: {deny: [\"local-sessionid:context\"]}\n",
			`deny: "local-sessionid:context" carries the build itself`,
		},
		{
			"a strip of what carries the build", rule + "  options: {strip: [frontend.caps]}\n",
			`strip: "frontend.caps" carries the build itself`,
		},
		{
			"an over-long option", rule + "  options: {deny: [" + strings.Repeat("x", 257) + "]}\n",
			"is too long: 257 bytes, at most 256 are allowed",
		},
		{
			"an option that can't be printed", rule + "  options: {deny: [\"a\\e\"]}\n",
			`deny: "a\x1b" has the character U+001B`,
		},

		{
			"an invalid day", rule + "  expires: 2027-02-30\n",
			`p:4:12: expires: "2027-02-30" is not a time; write a day such as 2027-01-31, or 2027-01-31T12:00:00Z`,
		},
		{
			"a time without a zone", rule + "  warnAfter: 2027-02-28T12:00:00\n",
			`p:4:14: warnAfter: "2027-02-28T12:00:00" is not a time`,
		},
		{
			"a time with an hour of one digit", rule + "  expires: \"2027-02-28T1:00:00Z\"\n",
			"is not a time",
		},
		{"the first time of all", rule + "  expires: 0001-01-01\n", "is not a time"},
		{"a year", rule + "  expires: 2027\n", "is not a time"},
		{
			"warnAfter on a deny rule", rule + "  action: deny\n  warnAfter: 2027-01-01\n",
			"p:5:14: warnAfter has no meaning on a deny rule",
		},
		{
			"a rule's contact that is too long", rule + "  contact: " + strings.Repeat("x", 513) + "\n",
			"p:4:12: contact is too long",
		},

		{
			"limits without a field", "version: 1\nlimits: {}\n",
			"p:2:9: limits is empty; give it a field or remove it",
		},
		{"empty limits", "version: 1\nlimits: {match: []}\n", "p:2:17: match is empty"},
		{
			"limits with a tag", "version: 1\nlimits: {match: [\"a:1\"]}\n",
			`p:2:18: match: "a:1" has a tag`,
		},
		{"a rule called limits", rule + "  name: limits\n", `p:4:9: the name "limits" is reserved`},
		{
			"an include without a folder", "version: 1\ninclude: [a.yaml]\n",
			"p:2:10: include needs the directory of the policy",
		},
		{
			"more rules than a list has", "version: 1\nfrontends:\n" + strings.Repeat("-\n", 100_001),
			"p:3:1: frontends has 100001 entries, more than 100000",
		},
		{
			"more pins than a mapping has",
			alias + "{from: a, to: b, pins: {" + strings.Repeat("a: b, ", 100_001) + "}}\n",
			"pins has 100001 entries, more than 100000",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte(tt.doc))
			var e *ParseError
			require.ErrorAs(t, err, &e)
			require.Contains(t, err.Error(), tt.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
	_, err := ParseOverlay("o", []byte("version: 1\ninclude: [a.yaml]\n"))
	require.ErrorContains(t, err, "o:2:10: an overlay can't include files")
}
