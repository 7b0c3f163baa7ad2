package policy

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// imageRuling is the ruling on an image of docker/dockerfile:1 under rules of the whole policy.
func imageRuling(t *testing.T, images, ref, at string, points digest.Digest) Ruling {
	t.Helper()
	l := mustStack(t, "version: 1\ndefault: allow\ncontact: all\nbuild: {images: "+images+"}\n", "")
	r := request(t, "docker/dockerfile:1")
	if at != "" {
		var err error
		r.Time, err = ParseTime(at)
		require.NoError(t, err)
	}
	return Decide(l, r).CheckTag(buildrules.Operation{Image: ref}, points)
}

// What names are made of is checked for both kinds of rules.
func TestNamesOfImageRulesAreChecked(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		`"a\nb"`:                 "name",
		`"a\u202eb"`:             "name",
		strings.Repeat("n", 257): "257 bytes",
		"default":                "is reserved",
		"first":                  "is already that of the rule on line 4",
		"ordinary":               "",
	} {
		for _, doc := range []string{
			"frontends:\n\n- {name: first, match: [a]}\n- {name: NAME, match: [a]}\n",
			"build:\n  images:\n  - {name: first, match: [a]}\n  - {name: NAME, match: [a]}\n",
		} {
			_, err := Parse("p", []byte("version: 1\n"+strings.ReplaceAll(doc, "NAME", name)))
			if want == "" {
				require.NoError(t, err)
				continue
			}
			require.ErrorContains(t, err, want, doc)
		}
	}
}

func TestRulesOnImages(t *testing.T) {
	t.Parallel()
	const (
		golang = `[{name: go, match: [golang], versions: ">=1.22", variants: [alpine], message: upgrade, contact: go-team}]`
		latest = `[{name: no-latest, match: ["**"], tags: [latest], action: deny}]`
		until  = `[{name: old, match: [a], expires: 2027-03-01, warnAfter: 2027-02-01}, {name: new, match: [b]}]`
		digest = `[{name: d, match: [a], digests: ["` + digestA + `"]}]`
		banned = `[{name: d, match: [a], digests: ["` + digestA + `"], action: deny}]`
		signed = `[{name: r, match: [a], requireDigest: true}]`
		soft   = `[{name: soft, match: [a], tags: ["1"], action: deny, mode: warn}]`
		mixed  = `{rules: [{name: go, match: [golang], tags: ["1.22"]}], allow: [b], deny: [b/c], convert: [{from: c, to: golang}], pins: {"golang:1.22": "` + digestA + `"}}`
	)
	for _, tt := range []struct {
		name, rules, ref, at, points string
		verdict                      Verdict
		reason                       string
	}{
		{"a version in the range", golang, "golang:1.22.1", "", "", Allow, ""},
		{"a variant of one", golang, "golang:1.23-alpine", "", "", Allow, ""},
		{
			"a version outside of the range", golang, "golang:1.21", "", "", Deny,
			`the policy refuses the image golang:1.21: rule "go" would allow it, but only with the versions >=1.22, not 1.21 (build.images.rules: go)`,
		},
		{
			"no tag", golang, "golang", "", "", Deny,
			`the policy refuses the image golang:latest: rule "go" would allow it, but only with the versions >=1.22, not latest (build.images.rules: go)`,
		},
		{
			"an image that no rule is for", golang, "redis:7", "", "", Deny,
			`the policy refuses the image redis:7: it allows only golang (build.images.rules)`,
		},
		{"a digest beside a tag that is right", golang, "golang:1.22@" + digestA, "", digestA, Allow, ""},
		{
			"a digest beside a tag that points elsewhere", golang, "golang:1.22@" + digestA, "", digestB,
			Deny, `but that tag points to ` + digestB,
		},
		{"a digest alone", golang, "golang@" + digestA, "", "", Deny, "and the reference has none"},
		{"a tag that is denied", latest, "x", "", "", Deny, `rule "no-latest" denies it`},
		{"another tag", latest, "x:1", "", "", Allow, ""},
		{
			"a digest that hides the tag that is denied", latest, "x@" + digestA, "", "", Deny,
			"the reference has none that would rule it out",
		},
		{
			"a tag that hides the tag that is denied", latest, "x:1@" + digestA, "", digestB, Deny,
			"the tag 1 that would rule it out points to " + digestB,
		},
		{"an image before it ends", until, "a", "2027-01-01", "", Allow, ""},
		{
			"an image that is about to end", until, "a", "2027-02-01", "", Warn,
			`rule "old" warns since 2027-02-01 and no longer allows this from 2027-03-01 on`,
		},
		{
			"an image that has ended", until, "a", "2027-03-01", "", Deny,
			`rule "old" expired on 2027-03-01`,
		},
		{"an image that ends, at no known time", until, "a", "", "", Deny, "the time is not known"},
		{"the image that follows it", until, "b", "", "", Allow, ""},
		{"a digest", digest, "a@" + digestA, "", "", Allow, ""},
		{"another digest", digest, "a@" + digestB, "", "", Deny, "but only with the digest"},
		{
			"a tag that may have the digest", digest, "a:1", "", "", Deny,
			"the digest is not known: write it in the reference",
		},
		{"a tag that may have a digest that is denied", banned, "a:1", "", "", Deny, "is not known"},
		{"a digest that isn't denied", banned, "a@" + digestB, "", "", Allow, ""},
		{"an image without the digest that it needs", signed, "a:1", "", "", Deny, "must carry a digest"},
		{
			"a denial that warns", soft, "a:1", "", "", Warn,
			`would be refused: the policy refuses the image a:1: rule "soft" denies it (build.images.rules: soft)`,
		},
		{"what a denial that warns isn't for", soft, "a:2", "", "", Allow, ""},
		{
			"a kind that warns", `{mode: warn, rules: ` + golang + `}`, "redis", "", "", Warn,
			"would be refused: ",
		},
		{"a kind in the short form that warns", `{mode: warn, allow: [a]}`, "b", "", "", Warn, "would be refused: "},
		{"a pin as a digest", mixed, "golang:1.22", "", "", Allow, ""},
		{"a pin after a conversion", mixed, "c:1.22", "", "", Allow, ""},
		{
			"another digest than the pin", mixed, "golang:1.22@" + digestB, "", "", Deny,
			"it pins golang:1.22",
		},
		{"an allow beside the rules", mixed, "b", "", "", Allow, ""},
		{"a deny beside the rules", mixed, "b/c", "", "", Deny, "(build.images.deny: b/c)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := imageRuling(t, tt.rules, tt.ref, tt.at, digestOf(tt.points))
			require.Equal(t, tt.verdict, r.Verdict, r.Reason)
			require.Contains(t, r.Reason, tt.reason)
			require.False(t, r.TagUnverified)
		})
	}
	r := imageRuling(t, golang, "golang:1.21", "", "")
	require.Equal(t, "go", r.Rule)
	require.Equal(t, []string{"upgrade"}, r.Messages)
	require.Equal(t, "go-team", r.Contact)
	require.Equal(t, []string{"golang"}, r.Allowed)
}

func digestOf(s string) digest.Digest { return digest.Digest(s) }

func TestARulingOnATagSaysSo(t *testing.T) {
	t.Parallel()
	const rules = `[{match: [golang], versions: ">=1.22"}, {match: [a]}]`
	for ref, want := range map[string]struct{ unverified, byTag bool }{
		"golang:1.22": {false, true}, "golang:1.22@" + digestA: {true, true}, "a:1": {},
		"a:1@" + digestA: {},
	} {
		r := imageRuling(t, rules, ref, "", "")
		require.Equal(t, Allow, r.Verdict, ref)
		require.Equal(t, want.unverified, r.TagUnverified, ref)
		require.Equal(t, want.byTag, r.ByTag, ref)
	}
	r := imageRuling(t, `[{match: ["**"], tags: [latest], action: deny}]`, "a:1@"+digestA, "", "")
	require.True(t, r.TagUnverified, "the tag keeps a denial away")
}

// Each list is also written as rules. Both have the same answers.
func TestTheShortFormIsDefinedByTheList(t *testing.T) {
	t.Parallel()
	for short, list := range map[string]string{
		`{allow: [a, "m.example/**"]}`:           `[{match: [a, "m.example/**"]}]`,
		`{deny: [a, "m.example/**"]}`:            `[{action: deny, match: [a, "m.example/**"]}]`,
		`{allow: ["**"], deny: ["m.example/b"]}`: `[{match: ["**"]}, {action: deny, match: ["m.example/b"]}]`,
		`{allow: [a, b], requireDigest: true}`:   `[{match: [a, b], requireDigest: true}]`,
		`{allow: ["*.example/**"], mode: warn}`:  `{mode: warn, rules: [{match: ["*.example/**"]}]}`,
	} {
		for _, ref := range []string{
			"a", "a:1", "b@" + digestA, "m.example/b", "m.example:8080/b:1", "m.example/b/c", "a/b",
			"x.m.example/b", "m.example/a:1@" + digestB,
		} {
			s, l := imageRuling(t, short, ref, "", ""), imageRuling(t, list, ref, "", "")
			require.Equal(t, s.Verdict, l.Verdict, "%s and %s for %s", short, list, ref)
			require.Equal(t, s.Image, l.Image)
		}
	}
}

func TestRulesOnImagesAddUp(t *testing.T) {
	t.Parallel()
	const (
		denied = `[{name: no-latest, match: ["**"], tags: [latest], action: deny}]`
		two    = `[{name: go, match: [golang]}, {name: no-latest, match: ["**"], tags: [latest], action: deny}]`
	)
	for _, tt := range []struct {
		name, policy, rule, ref string
		verdict                 Verdict
		by                      string
	}{
		{"a denial of the policy holds under a rule's allow", denied, `{allow: [a]}`, "a", Deny, "no-latest"},
		{"a rule's allow replaces that of the policy", two, `{allow: [a]}`, "a:1", Allow, ""},
		{"what only the policy allows is no longer allowed", two, `[{match: [a]}]`, "golang:1", Deny, "r"},
		{"the policy's allow stays under a rule's denial", two, `{deny: [a]}`, "golang:1", Allow, ""},
		{"and allows nothing else", two, `{deny: [a]}`, "b:1", Deny, BuildRule},
		{"a list under a short form", `{deny: [a]}`, two, "a:1", Deny, BuildRule},
		{"a rule that warns under a policy that enforces", `{deny: [a]}`, `{mode: warn, deny: [b]}`, "a", Deny, BuildRule},
		{"a rule that enforces under a policy that warns", `{mode: warn, deny: [a]}`, `{deny: [b]}`, "a", Deny, BuildRule},
		{"two that warn", `{mode: warn, deny: [a]}`, `{mode: warn, deny: [b]}`, "a", Warn, BuildRule},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, "version: 1\nbuild: {images: "+tt.policy+"}\nfrontends:\n"+
				"- {name: r, match: [docker/dockerfile], build: {images: "+tt.rule+"}}\n", "")
			r := Decide(l, request(t, "docker/dockerfile:1")).Check(buildrules.Operation{Image: tt.ref})
			require.Equal(t, tt.verdict, r.Verdict, r.Reason)
			require.Equal(t, tt.by, r.Rule)
		})
	}
}

func TestAKindThatWarns(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\ndefault: allow\nbuild: {http: {mode: warn, allow: []}, git: {allow: []},"+
		" exec: {mode: warn, deny: {networks: [host]}}}\n", "")
	d := Decide(l, request(t, "docker/dockerfile:1"))
	http := d.Check(buildrules.Operation{HTTP: &buildrules.HTTP{URL: "https://a.example/a"}})
	require.Equal(t, Warn, http.Verdict)
	require.Equal(t, "would be refused: the policy refuses the download https://a.example/a: "+
		"it allows none (build.http.allow)", http.Reason)
	git := d.Check(buildrules.Operation{Git: &buildrules.Git{URL: "https://a.example/a"}})
	require.Equal(t, Deny, git.Verdict)
	host := d.Check(buildrules.Operation{Exec: &buildrules.Exec{Network: "host"}})
	require.Equal(t, Warn, host.Verdict)
	secret := d.Check(buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{"a"}}})
	require.Equal(t, Allow, secret.Verdict, "a mode is no field that lists what commands can use")
	require.True(t, d.Restricts(buildrules.KindHTTP))
	require.False(t, d.Enforces(buildrules.KindHTTP))
	require.True(t, d.Enforces(buildrules.KindGit))
}

func TestMistakesInRulesOnImages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ rules, want string }{
		"an empty list":         {`[]`, "p:2:17: images is empty; write deny if no image is allowed, or remove it"},
		"an empty list below":   {`{rules: []}`, "p:2:25: images.rules is empty"},
		"no name":               {`[{tags: [a]}]`, `the rule has no match; write match: ["**"] if it is for every image`},
		"a tag in a name":       {`[{match: ["a:1"]}]`, "and the tag under tags"},
		"two rules of one name": {`[{name: a, match: [a]}, {name: a, match: [b]}]`, `the name "a" is already that of the rule on line 2`},
		"a mode of an allow":    {`[{match: [a], mode: warn}]`, "only if it denies"},
		"an enforced denial":    {`[{match: [a], action: deny, mode: enforce}]`, "a rule of images can only have mode: warn"},
		"options":               {`[{match: [a], options: {inputs: deny}}]`, `unknown field "options"`},
		"an unknown mode":       {`{mode: audit, deny: [a]}`, `mode must be enforce or warn, not "audit"`},
		"a mode alone":          {`{mode: warn}`, "images restricts nothing"},
		"a mode and no demand":  {`{mode: warn, requireDigest: false}`, "images restricts nothing"},
		"versions that none is": {`[{match: [a], versions: ">=2 <1"}]`, "no version is"},
		"a rule of no value":    {`[~]`, "images[0] has no value"},
	} {
		_, err := Parse("p", []byte("version: 1\nbuild: {images: "+tt.rules+"}\n"))
		require.ErrorContains(t, err, tt.want, name)
	}
	for _, name := range []string{
		DefaultRule, InvariantRule, LimitsRule, BuildRule, ExportsRule, CachesRule, SBOMRule,
		AdministrationRule, DebugRule,
	} {
		_, err := Parse("p", []byte("version: 1\nbuild: {images: [{name: "+name+", match: [a]}]}\n"))
		require.ErrorContains(t, err, "is reserved for decisions without a rule")
	}
}

// BenchmarkImageRules10000 checks an image that 10,000 rules on images match by name.
func BenchmarkImageRules10000(b *testing.B) {
	doc := strings.Repeat("{match: [\"m.example/**\"], versions: \">=1\"},", 10_000)
	p, err := Parse("p", []byte("version: 1\ndefault: allow\ndispatch: mediate\nbuild: {images: ["+
		strings.TrimSuffix(doc, ",")+"]}\n"))
	require.NoError(b, err)
	layers, err := Stack(p, nil)
	require.NoError(b, err)
	ref, err := imageref.Parse("docker/dockerfile:1")
	require.NoError(b, err)
	d := Decide(layers, Request{Reference: ref})
	image := buildrules.Operation{Image: "m.example/a:0"}
	for b.Loop() {
		require.Equal(b, Deny, d.Check(image).Verdict)
	}
}
