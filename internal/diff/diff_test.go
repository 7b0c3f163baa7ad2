package diff

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	head    = "version: 1\nfrontends:\n"
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func now() time.Time { return time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC) }

func parse(t *testing.T, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("p", []byte(doc))
	require.NoError(t, err)
	return p
}

// lines writes differences as change, request and details, with + for what widens.
func lines(r Report) []string {
	var out []string
	for _, d := range r.Differences {
		mark := "-"
		if d.Widens {
			mark = "+"
		}
		text := fmt.Sprintf("%s%s %s", mark, d.Change, d.Request.Reference)
		for _, k := range slices.Sorted(maps.Keys(d.Request.Options)) {
			text += fmt.Sprintf(" %s=%s", k, d.Request.Options[k])
		}
		if len(d.Request.Inputs) > 0 {
			text += " inputs"
		}
		if !d.Request.Time.Equal(now()) {
			text += " " + d.Request.Time.Format(time.DateOnly)
		}
		out = append(out, strings.Join(append([]string{text}, d.Details...), "; "))
	}
	return out
}

func TestCompare(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, a, b string
		want       []string
	}{
		{"the same", head + "- {name: a, match: [a], tags: [\"1.*\"]}\n", head + "- {name: a, match: [a], tags: [\"1.*\"]}\n", nil},
		{"another message", head + "- {name: a, match: [a]}\n", head + "- {name: a, match: [a], message: hi}\n", nil},
		{"another name of the rule", head + "- {name: a, match: [a]}\n", head + "- {name: b, match: [a]}\n", nil},
		{"the same in other words", head + "- {name: a, match: [a, b]}\n", head + "- {name: a, match: [b, docker.io/library/a, a]}\n", nil},
		{
			"a rule more", head + "- {name: a, match: [a]}\n",
			head + "- {name: a, match: [a]}\n- {name: b, match: [c.example/*]}\n",
			[]string{"+allowed c.example/other:latest"},
		},
		{
			"a rule less", head + "- {name: a, match: [a]}\n- {name: b, match: [c.example/*]}\n",
			head + "- {name: a, match: [a]}\n",
			[]string{"-refused c.example/other:latest"},
		},
		{
			"a deny rule less",
			head + "- {name: a, match: [\"c.example/**\"]}\n- {name: no, match: [\"**/x\"], action: deny}\n",
			head + "- {name: a, match: [\"c.example/**\"]}\n",
			[]string{"+allowed c.example/x:latest"},
		},
		{
			"a deny rule more", head + "- {name: a, match: [\"c.example/**\"]}\n",
			head + "- {name: a, match: [\"c.example/**\"]}\n" +
				"- {name: no, match: [\"**/x-*\"], action: deny}\n",
			[]string{"-refused c.example/x-other:latest"},
		},
		{
			"a default that allows", head + "- {name: a, match: [a]}\n",
			"default: allow\n" + head + "- {name: a, match: [a]}\n",
			[]string{"+allowed other.other/other:latest"},
		},
		{
			"a wider pattern", head + "- {name: a, match: [c.example/x]}\n",
			head + "- {name: a, match: [c.example/x*]}\n",
			[]string{"+allowed c.example/xother:latest"},
		},
		{
			"a pattern that takes deeper folders", head + "- {name: a, match: [c.example/*]}\n",
			head + "- {name: a, match: [\"c.example/**\"]}\n",
			[]string{"+allowed c.example/other/other:latest"},
		},
		{
			"a pattern that takes the deepest folders",
			head + "- {name: a, match: [c.example/*, c.example/*/*]}\n",
			head + "- {name: a, match: [\"c.example/**\"]}\n",
			[]string{"+allowed c.example/other/other/other/other/other:latest"},
		},
		{
			"another order of rules", head + "- {name: a, match: [a], options: {deny: [k]}}\n- {name: b, match: [\"**\"]}\n", head + "- {name: b, match: [\"**\"]}\n- {name: a, match: [a], options: {deny: [k]}}\n",
			[]string{"+loosened a:latest; no longer required: options.deny: k", "+loosened a:latest k=other; no longer refused: option k"},
		},
		{
			"tags of a name that only an alias leads to", "aliases: [{from: \"a/**\", to: \"c.example/**\"}, {from: \"c.example/**\", to: \"d.example/**\"}]\n" + head + "- {name: a, match: [c.example/x], tags: [\"1\"]}\n",
			"aliases: [{from: \"a/**\", to: \"c.example/**\"}, {from: \"c.example/**\", to: \"d.example/**\"}]\n" + head + "- {name: a, match: [c.example/x], tags: [\"1\", \"2\"]}\n",
			[]string{"+allowed a/x:2"},
		},
		{"tags more", head + "- {name: a, match: [a], tags: [\"1.*\"]}\n", head + "- {name: a, match: [a], tags: [\"1.*\", \"2\"]}\n", []string{"+allowed a:2"}},
		{"no condition on tags", head + "- {name: a, match: [a], tags: [\"1.*\"]}\n", head + "- {name: a, match: [a]}\n", []string{"+allowed a:latest"}},
		{
			"a wider range", head + "- {name: a, match: [a], versions: \">=1.4 <2\"}\n",
			head + "- {name: a, match: [a], versions: \">=1.4 <2.0.2\"}\n",
			[]string{"+allowed a:2.0.0"},
		},
		{
			"a range whose end has another reading", head + "- {name: a, match: [a], versions: \"<=1.7\"}\n",
			head + "- {name: a, match: [a], versions: \"<=1.7.x\"}\n",
			[]string{"+allowed a:1.7"},
		},
		{
			"a range with an end more", head + "- {name: a, match: [a], versions: \"<2\"}\n",
			head + "- {name: a, match: [a], versions: \"<=2\"}\n",
			[]string{"+allowed a:2.0.0"},
		},
		{
			"a variant more", head + "- {name: a, match: [a], versions: \">=1\"}\n",
			head + "- {name: a, match: [a], versions: \">=1\", variants: [labs]}\n",
			[]string{"+allowed a:1-labs"},
		},
		{
			"an exception less",
			head + "- {name: a, match: [a], versions: \">=1\", exceptTags: [\"1.5.0\"]}\n",
			head + "- {name: a, match: [a], versions: \">=1\"}\n",
			[]string{"+allowed a:1"},
		},
		{
			"a digest more", head + "- {name: a, match: [a], digests: [\"" + digestA + "\"]}\n", head + "- {name: a, match: [a], digests: [\"" + digestA + "\", \"" + digestB + "\"]}\n",
			[]string{"+allowed a:latest", "+loosened a:latest; no longer required: digests: only " + digestA},
		},
		{
			"a digest that isn't required", head + "- {name: a, match: [a], requireDigest: true}\n", head + "- {name: a, match: [a]}\n",
			[]string{"+allowed a:latest", "+loosened a@" + other() + "; no longer required: requireDigest"},
		},
		{
			"an option that isn't denied", head + "- {name: a, match: [a], options: {deny: [\"k*\"]}}\n", head + "- {name: a, match: [a]}\n",
			[]string{"+loosened a:latest; no longer required: options.deny: k*", "+loosened a:latest kother=other; no longer refused: option kother"},
		},
		{
			"an option that is denied", head + "- {name: a, match: [a]}\n", head + "- {name: a, match: [a], options: {deny: [k]}}\n",
			[]string{"-tightened a:latest; now required: options.deny: k", "-tightened a:latest k=other; now refused: option k"},
		},
		{
			"an option that isn't removed", head + "- {name: a, match: [a], options: {strip: [k]}}\n",
			head + "- {name: a, match: [a]}\n",
			[]string{"+loosened a:latest k=other; no longer required: options.strip: k"},
		},
		{
			"an option with another value", head + "- {name: a, match: [a], options: {force: {k: v}}}\n", head + "- {name: a, match: [a], options: {force: {k: w}}}\n",
			[]string{"+loosened a:latest; no longer required: options.force: k=v", "+loosened a:latest k=w; no longer refused: option k", "-tightened a:latest; now required: options.force: k=w", "-tightened a:latest k=v; now refused: option k"},
		},
		{
			"an option more that passes", head + "- {name: a, match: [a], options: {only: [k]}}\n", head + "- {name: a, match: [a], options: {only: [k, l]}}\n",
			[]string{"+loosened a:latest; no longer required: options.only: k", "+loosened a:latest l=other; no longer refused: option l"},
		},
		{
			"inputs", head + "- {name: a, match: [a], options: {inputs: deny}}\n", head + "- {name: a, match: [a]}\n",
			[]string{"+loosened a:latest; no longer required: options.inputs: deny", "+loosened a:latest inputs; no longer refused: inputs from other builds"},
		},
		{
			"a later end", head + "- {name: a, match: [a], expires: 2027-03-01}\n",
			head + "- {name: a, match: [a], expires: 2027-04-01}\n",
			[]string{"+allowed a:latest 2027-03-01"},
		},
		{"an end that has passed", head + "- {name: a, match: [a]}\n", head + "- {name: a, match: [a], expires: 2027-01-01}\n", []string{"-refused a:latest"}},
		{
			"a deny rule that ends",
			head + "- {name: a, match: [a]}\n- {name: no, match: [a], action: deny}\n",
			head + "- {name: a, match: [a]}\n- {name: no, match: [a], action: deny, expires: 2027-03-01}\n",
			[]string{"+allowed a:latest 2027-03-01"},
		},
		{"a mode that warns", head + "- {name: a, match: [a]}\n", "mode: warn\n" + head + "- {name: a, match: [a]}\n", []string{"+allowed other.other/other:latest"}},
		{
			"limits less",
			"limits: {match: [c.example/x]}\n" + head + "- {name: a, match: [\"c.example/**\"]}\n",
			head + "- {name: a, match: [\"c.example/**\"]}\n",
			[]string{"+allowed c.example/other:latest"},
		},
		{
			"an alias to what was allowed", head + "- {name: a, match: [a, b]}\n",
			"aliases: [{from: a, to: b}]\n" + head + "- {name: a, match: [a, b]}\n",
			[]string{"+rerouted a:latest"},
		},
		{
			"an alias where everything is allowed", "default: allow\nversion: 1\n",
			"default: allow\naliases: [{from: a, to: evil.example/b}]\nversion: 1\n",
			[]string{"+rerouted a:latest"},
		},
		{
			"an alias where every host is allowed", head + "- {name: a, match: [\"**/a\"]}\n",
			"aliases: [{from: a, to: evil.example/a}]\n" + head + "- {name: a, match: [\"**/a\"]}\n",
			[]string{"+rerouted a:latest"},
		},
		{
			"a pin more where everything is allowed", "default: allow\nversion: 1\n",
			"default: allow\naliases: [{from: a, to: a, pins: {\"1\": \"" + digestA + "\"}}]\nversion: 1\n",
			[]string{"-rerouted a:1", "-refused a:1@" + other()},
		},
		{
			"an alias that lets a name in", head + "- {name: b, match: [b]}\n",
			"aliases: [{from: c.example/a, to: b}]\n" + head + "- {name: b, match: [b]}\n",
			[]string{"+allowed c.example/a:latest"},
		},
		{
			"an alias to what was not allowed", head + "- {name: a, match: [a]}\n",
			"aliases: [{from: a, to: b}]\n" + head + "- {name: a, match: [b]}\n",
			[]string{"+allowed b:latest", "+rerouted a:latest"},
		},
		{
			"another pin", "aliases: [{from: a, to: a, pins: {\"1\": \"" + digestA + "\"}}]\n" + head + "- {name: a, match: [a], digests: [\"" + digestA + "\"]}\n",
			"aliases: [{from: a, to: a, pins: {\"1\": \"" + digestB + "\"}}]\n" + head + "- {name: a, match: [a], digests: [\"" + digestA + "\"]}\n",
			[]string{"-refused a:1", "-refused a:1@" + digestA},
		},
		{
			"a version with 64 bits", head + "- {name: a, match: [a], versions: \">=20261103120000\"}\n",
			head + "- {name: a, match: [a], versions: \">=20251103120000\"}\n",
			[]string{"+allowed a:20251103120000"},
		},
		{
			"another version with 64 bits", head + "- {name: a, match: [a], versions: \"1.x\"}\n",
			head + "- {name: a, match: [a], versions: \"1.x || >=20261103120000\"}\n",
			[]string{"+allowed a:20261103120000"},
		},
		{
			"four numbers", head + "- {name: a, match: [a], versions: \">=1.2.3.5 <2\"}\n",
			head + "- {name: a, match: [a], versions: \">=1.2.3.4 <2\"}\n",
			[]string{"+allowed a:1.2.3.4"},
		},
		{
			"another prerelease", head + "- {name: a, match: [a], versions: \">=1.2.3-rc3\"}\n",
			head + "- {name: a, match: [a], versions: \">=1.2.3-rc2\"}\n",
			[]string{"+allowed a:1.2.3-rc2"},
		},
		{
			"an excepted tag less", head + "- {name: a, match: [a], exceptTags: [\"1.5.0\"]}\n",
			head + "- {name: a, match: [a], exceptTags: [\"1.5.1\"]}\n",
			[]string{"+allowed a:1.5.0", "-refused a:1.5.1"},
		},
		{
			"a denied port less", head + "- {name: a, match: [\"**\"]}\n- {name: d, match: [\"q.example/x/**\"], action: deny}\n",
			head + "- {name: a, match: [\"**\"]}\n- {name: d, match: [\"q.example:80/x/**\"], action: deny}\n",
			[]string{"+allowed q.example/x/other:latest"},
		},
		{
			"an aliased pin less where all is allowed",
			"aliases: [{from: a, to: a, pins: {\"1\": \"" + digestA + "\"}}]\n" + head + "- {name: a, match: [a]}\n",
			head + "- {name: a, match: [a]}\n",
			[]string{"+allowed a:1@" + other(), "+rerouted a:1"},
		},
		{
			"a pin less", "aliases: [{from: a, to: a, pins: {\"1\": \"" + digestA + "\"}}]\n" + head + "- {name: a, match: [a], tags: [\"1\"]}\n", head + "- {name: a, match: [a], tags: [\"1\"]}\n",
			[]string{"+allowed a:1@" + other(), "+rerouted a:1", "-refused a:1@" + digestA},
		},
		{
			"a pin less that only another port has",
			"aliases: [{from: a/**, to: c.example/**}, {from: a/x, to: a/x, pins: {\"1\": \"" + digestA +
				"\"}}]\n" + head + "- {name: x, match: [\"**/x\"]}\n",
			"aliases: [{from: a/**, to: c.example/**}]\n" + head + "- {name: x, match: [\"**/x\"]}\n",
			[]string{
				"+allowed docker.io:49151/a/x:1@" + other(), "+rerouted docker.io:49151/a/x:1",
			},
		},
		{
			"a pin less on another port than the rule's",
			"aliases: [{from: c.example/x, to: c.example/x, pins: {\"1\": \"" + digestA + "\"}}]\n" + head +
				"- {name: x, match: [\"c.example:80/**\"]}\n",
			head + "- {name: x, match: [\"c.example:80/**\"]}\n",
			[]string{"+allowed c.example:80/x:1@" + other(), "+rerouted c.example:80/x:1"},
		},
		{"a default frontend", head + "- {name: a, match: [a]}\n", "defaultFrontend: a\n" + head + "- {name: a, match: [a]}\n", []string{"+allowed "}},
		{
			"another default frontend that was allowed",
			"defaultFrontend: a\n" + head + "- {name: a, match: [a, b]}\n",
			"defaultFrontend: b\n" + head + "- {name: a, match: [a, b]}\n",
			[]string{"+rerouted "},
		},
		{"no default frontend", "defaultFrontend: a\n" + head + "- {name: a, match: [a]}\n", head + "- {name: a, match: [a]}\n", []string{"-refused "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := func(s string) string {
				if strings.HasPrefix(s, "version") {
					return s
				}
				return strings.Replace(s, "version: 1\n", "", 1) + "version: 1\n"
			}
			r := Compare(parse(t, doc(tt.a)), parse(t, doc(tt.b)), now())
			require.True(t, r.Complete)
			require.Equal(t, tt.want, lines(r))
			widens := false
			for _, l := range tt.want {
				widens = widens || l[0] == '+'
			}
			require.Equal(t, widens, r.Widened)
		})
	}
}

func other() string {
	return compareSides(newSide(&policy.Policy{}), newSide(&policy.Policy{}), now()).other.String()
}

func TestStatements(t *testing.T) {
	t.Parallel()
	a := parse(t, "version: 1\nid: x\noverlay: {accept: none}\naliases: [{from: a, to: b}]\nfrontends:\n- {name: a, match: [b]}\n- {name: b, match: [b], tags: [\"1\"]}\n")
	b := parse(t, "version: 1\nid: y\ncontact: z\nlimits: {match: [b]}\nfrontends:\n- {name: b, match: [b], tags: [\"2\"], message: \"use\\nc\", contact: z}\n- {name: c, match: [b]}\n")
	var got []string
	for _, s := range Compare(a, b, now()).Statements {
		text := s.Text
		if s.Widens {
			text = "+" + text
		}
		got = append(got, text)
	}
	require.Equal(t, []string{
		"id: y, before x",
		"contact: z, before none",
		"limits: docker.io/library/b, before none",
		"+overlay.accept: narrow, before none: builds that send an overlay",
		"removed: alias from docker.io/library/a to docker.io/library/b with 0 pins",
		"added: rule c",
		"removed: rule a",
		"changed: rule b",
		"rule b: message: use c, before none",
		"rule b: contact: z, before none",
	}, got)
}

func TestOverlaysThatAreAcceptedWiden(t *testing.T) {
	t.Parallel()
	a, b := parse(t, "version: 1\noverlay: {accept: none}\n"), parse(t, "version: 1\n")
	require.True(t, Compare(a, b, now()).Widened)
	require.False(t, Compare(b, a, now()).Widened)
}

// rules returns a policy with many rules, the last n of which are changed.
func rules(total, n int) string {
	var b strings.Builder
	b.WriteString(head)
	for i := range total {
		tag := "1.*"
		if i >= total-n {
			tag = "2.*"
		}
		fmt.Fprintf(&b, "- {name: r%d, match: [\"h%d.example/a/*\"], tags: [%q]}\n", i, i, tag)
	}
	return b.String()
}

func TestALittleChangeOfALargePolicyIsCompared(t *testing.T) {
	t.Parallel()
	r := Compare(parse(t, rules(1000, 0)), parse(t, rules(1000, 8)), now())
	require.True(t, r.Complete)
	require.Len(t, r.Differences, 16, "eight rules allow other tags and no longer those")
	require.Less(t, r.Requests, 4000, "only what changed is looked at")
}

func TestTooMuchToCompareCountsAsWidened(t *testing.T) {
	t.Parallel()
	a, b := parse(t, rules(10, 0)), parse(t, "limits: {match: [\"**\"]}\n"+rules(10, 0))
	c := compareSides(newSide(a), newSide(b), now())
	r := c.report()
	require.True(t, r.Complete)
	require.False(t, r.Widened)

	c = compareSides(newSide(a), newSide(b), now())
	c.budget = requestWork * r.Requests / 2
	r = c.report()
	require.False(t, r.Complete)
	require.True(t, r.Widened)
}

func TestLargePoliciesTakeBoundedTime(t *testing.T) {
	t.Parallel()
	var a, b strings.Builder
	a.WriteString(head)
	b.WriteString(head)
	for i := range 1000 {
		fmt.Fprintf(&a, "- {name: r%d, match: [\"**/a%d*\"], tags: [\"1\"]}\n", i, i)
		fmt.Fprintf(&b, "- {name: r%d, match: [\"**/*a%d\"], tags: [\"%d*\"]}\n", i, i, i)
	}
	c := compareSides(newSide(parse(t, a.String())), newSide(parse(t, b.String())), now())
	c.budget = 50_000
	r := c.report()
	require.False(t, r.Complete)
	require.True(t, r.Widened)
	require.NotEmpty(t, r.Differences, "what was found until then is shown")
}
