package lint_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

const top = "version: 1\nid: x\ncontact: y\n"

// day is when the tests judge what expires.
func day() time.Time { return time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC) }

// check returns the findings without those that deny rules have where no rule allows the same.
func check(file string, p *policy.Policy, o lint.Options) []lint.Finding {
	return slices.DeleteFunc(lint.Check(file, p, o), func(f lint.Finding) bool {
		return f.Code == lint.AllowsNothing || f.Code == lint.DenyWithoutEffect
	})
}

func list(found []lint.Finding) []string {
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %s %s:%d:%d", f.Code, f.Rule, f.File, f.Line, f.Column))
	}
	return got
}

func TestCheckWholeLanguage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		want      []string // code, rule and position
	}{
		{"a policy that only warns", top + "mode: warn\n", []string{"warn-mode  p:0:0"}},
		{
			"a default frontend that is allowed",
			top + "defaultFrontend: a:1\nfrontends:\n- {name: a, match: [a], tags: [\"1\"]}\n", nil,
		},
		{
			"a default frontend that is refused",
			top + "defaultFrontend: a:2\nfrontends:\n- {name: a, match: [a], tags: [\"1\"]}\n",
			[]string{"default-frontend-refused  p:0:0"},
		},
		{
			"a default frontend that needs its digest",
			top + "defaultFrontend: a\nfrontends:\n- {name: a, match: [a], digests: [\"" + digestA +
				"\"]}\n", nil,
		},

		{
			"an alias after one that takes all of it",
			top +
				"aliases:\n- {from: a/**, to: b/**}\n- {from: a/x, to: c}\nfrontends:\n- {name: b, match: [b/**, c]}\n",
			[]string{"alias-shadowed  p:6:3"},
		},
		{
			"an alias before a wider one is fine",
			top +
				"aliases:\n- {from: a/x, to: c}\n- {from: a/**, to: b/**}\nfrontends:\n- {name: b, match: [b/**, c]}\n", nil,
		},
		{
			"an alias to the same name without pins",
			top + "aliases:\n- {from: a, to: a}\nfrontends:\n- {name: b, match: [a]}\n",
			[]string{"alias-without-effect  p:5:3"},
		},
		{
			"an alias that keeps a name from a later one is fine",
			top + "aliases:\n- {from: a/x, to: a/x}\n- {from: a/**, to: b/**}\n" +
				"frontends:\n- {name: b, match: [a/x, b/**]}\n", nil,
		},
		{
			"an alias to the same name with pins is fine",
			top + "aliases:\n- {from: a, to: a, pins: {\"1\": \"" + digestA +
				"\"}}\nfrontends:\n- {name: b, match: [a]}\n", nil,
		},
		{
			"an alias that no rule takes on",
			top + "aliases:\n- {from: a, to: b}\nfrontends:\n- {name: c, match: [c]}\n",
			[]string{"alias-not-allowed  p:5:3"},
		},
		{
			"an alias that an expired rule takes on",
			top + "aliases:\n- {from: a, to: b}\nfrontends:\n- {name: b, match: [b], expires: 2027-01-01}\n",
			[]string{"alias-not-allowed  p:5:3", "expired b p:7:3"},
		},
		{
			"an alias that the limits refuse",
			top + "limits: {match: [c]}\ndefault: allow\naliases:\n- {from: a, to: b}\n",
			[]string{"default-allow  p:0:0", "alias-not-allowed  p:7:3"},
		},
		{
			"an alias that a rule denies",
			top +
				"aliases:\n- {from: a, to: b}\nfrontends:\n- {name: b, match: [\"docker.io/**\"], action: deny}\n",
			[]string{"alias-not-allowed  p:5:3"},
		},
		{
			"an alias that a default takes on is fine",
			top + "default: allow\naliases:\n- {from: a, to: b}\n",
			[]string{"default-allow  p:0:0"},
		},
		{
			"a pin that the rules refuse",
			top + "aliases:\n- {from: a, to: b, pins: {\"1\": \"" + digestA + "\", \"2\": \"" + digestA +
				"\"}}\nfrontends:\n- {name: b, match: [b], tags: [\"1\"]}\n",
			[]string{"pin-refused  p:5:3"},
		},

		{
			"a tag that names no version", head + "- {name: a, match: [a], tags: [\"1\", latest]}\n",
			[]string{"unbounded-tag a p:5:3"},
		},
		{
			"a tag that names no version with a required digest is fine",
			head + "- {name: a, match: [a], tags: [latest], requireDigest: true}\n", nil,
		},
		{
			"a tag that names no version and is pinned is fine",
			top + "aliases:\n- {from: a, to: a, pins: {latest: \"" + digestA +
				"\"}}\nfrontends:\n- {name: a, match: [a], tags: [latest]}\n", nil,
		},
		{
			"a tag that names no version in a deny rule is fine",
			head + "- {name: a, match: [a], tags: [latest], action: deny}\n", nil,
		},
		{
			"any tag but some, for which the exceptions are enough",
			head + "- {name: a, match: [a], tags: [\"*\"], exceptTags: [\"1.5.0\"]}\n",
			[]string{"entry-without-effect a p:5:3"},
		},
		{
			"tags beside digests",
			head + "- {name: a, match: [a], tags: [\"1\"], digests: [\"" + digestA + "\"]}\n",
			[]string{"tags-and-digests a p:5:3"},
		},

		{
			"tags that are all excepted",
			head + "- {name: a, match: [a], tags: [\"1.5\", \"1.6\"], exceptTags: [\"1.*\"]}\n",
			[]string{"never-matches a p:5:3"},
		},
		{
			"tags of which one is left",
			head + "- {name: a, match: [a], tags: [\"1.5\", \"2\"], exceptTags: [\"1.*\"]}\n",
			[]string{"entry-without-effect a p:5:3"},
		},
		{
			"tags that are all excepted, beside versions",
			head + "- {name: a, match: [a], tags: [\"1.5\"], versions: \">=2 <9\", exceptTags: [\"1.*\"]}\n",
			[]string{"entry-without-effect a p:5:3"},
		},
		{
			"all tags excepted", head + "- {name: a, match: [a], versions: \">=2\", exceptTags: [\"*\"]}\n",
			[]string{"never-matches a p:5:3"},
		},
		{
			"a rule that has expired", head + "- {name: a, match: [a], expires: 2027-02-01}\n",
			[]string{"expired a p:5:3"},
		},
		{"a rule that will expire is fine", head + "- {name: a, match: [a], expires: 2027-02-02}\n", nil},
		{
			"a rule that warns too late",
			head + "- {name: a, match: [a], warnAfter: 2027-03-01, expires: 2027-03-01}\n",
			[]string{"warn-after-expiry a p:5:3"},
		},

		{
			"a rule after one that expires is fine",
			head + "- {name: a, match: [a], expires: 2027-03-01}\n- {name: b, match: [a]}\n", nil,
		},
		{
			"a rule that expires before the one that takes all of it",
			head +
				"- {name: a, match: [a], expires: 2027-03-01}\n- {name: b, match: [a], expires: 2027-02-20}\n",
			[]string{"shadowed b p:6:3"},
		},
		{
			"a rule in a folder that another has",
			head +
				"- {name: a, match: [c.example/**]}\n- {name: b, match: [\"c.example/x/*-y\"], tags: [\"1\"]}\n",
			[]string{"shadowed b p:6:3"},
		},
		{
			"a rule under a deny rule that only warns is fine",
			head + "- {name: a, match: [a], action: deny, mode: warn}\n- {name: b, match: [a]}\n", nil,
		},
		{
			"a deny rule after one that takes all of it",
			head +
				"- {name: a, match: [a], action: deny}\n- {name: b, match: [a], tags: [\"1\"], action: deny}\n",
			[]string{"shadowed b p:6:3"},
		},
		{
			"a deny rule after an allow rule is fine",
			head + "- {name: a, match: [a]}\n- {name: b, match: [a], tags: [\"1\"], action: deny}\n", nil,
		},
		{
			"a rule with the versions of one before it",
			head +
				"- {name: a, match: [a], versions: \">=1 <9\"}\n- {name: b, match: [a], versions: \">=1 <9\", exceptTags: [\"1.5\"]}\n",
			[]string{"shadowed b p:6:3"},
		},
		{
			"a tag without a version, and no other tags, is fine",
			head + "- {name: a, match: [a], tags: [latest]}\n", nil,
		},
		{
			"a tag without a version beside versions",
			head + "- {name: a, match: [a], tags: [latest], versions: \">=1 <9\"}\n",
			[]string{"unbounded-tag a p:5:3"},
		},
		{
			"every version", head + "- {name: a, match: [a], versions: \"*\"}\n",
			[]string{"any-tag a p:5:3"},
		},
		{
			"a name on every host", head + "- {name: a, match: [\"**/x\"]}\n",
			[]string{"match-everything a p:5:3"},
		},
		{
			"hosts that end alike", head + "- {name: a, match: [\"*corp.example/x\"]}\n",
			[]string{"prefix-runs-on a p:5:3"},
		},
		{
			"hosts under any domain", head + "- {name: a, match: [\"corp.*/x\"]}\n",
			[]string{"prefix-runs-on a p:5:3"},
		},
		{
			"organisations that begin alike", head + "- {name: a, match: [\"ghcr.example/org*/**\"]}\n",
			[]string{"prefix-runs-on a p:5:3"},
		},
		{
			"hosts below a domain, addresses and directories are fine",
			head + "- {name: a, match: [\"*.corp.example/x\", \"a-*.corp.example:*/**\", " +
				"\"10.*.*.*/**\", \"corp.example/a/b*/c\"]}\n", nil,
		},
		{
			"a deny rule for a name that an alias renames",
			top + "aliases: [{from: docker/x, to: c.example/x}]\nfrontends:\n- {name: a, match: [\"**\"], " +
				"digests: [\"" + digestA + "\"]}\n- {name: d, match: [docker/x], action: deny}\n",
			[]string{"aliased-away d p:7:3"},
		},
		{
			"a rule with other versions is fine",
			head +
				"- {name: a, match: [a], versions: \">=2 <9\"}\n- {name: b, match: [a], versions: \">=1 <9\"}\n",
			nil,
		},
		{
			"a rule with what one before it excepts is fine",
			head +
				"- {name: a, match: [a], exceptTags: [\"1.5\"]}\n- {name: b, match: [a], tags: [\"1.*\"]}\n",
			nil,
		},
		{
			"a rule with nothing of what one before it excepts",
			head +
				"- {name: a, match: [a], exceptTags: [\"1.5\"]}\n- {name: b, match: [a], tags: [\"2.*\"]}\n",
			[]string{"shadowed b p:6:3"},
		},
		{
			"a rule with a variant of what one before it excepts is fine",
			head +
				"- {name: a, match: [a], tags: [\"1.*\"], versions: \">=2 <9\", variants: [labs], exceptTags: [\"1.5\"]}\n- {name: b, match: [a], tags: [\"1.5-labs\"]}\n", nil,
		},
		{
			"a rule without tags after one with any",
			head + "- {name: a, match: [a], tags: [\"*\"], exceptTags: [\"1\"]}\n- {name: b, match: [a]}\n",
			[]string{"entry-without-effect a p:5:3"},
		},

		{
			"a rule for a name that an alias takes away",
			top +
				"aliases:\n- {from: a, to: b}\nfrontends:\n- {name: a, match: [a]}\n- {name: b, match: [b]}\n",
			[]string{"aliased-away a p:7:3"},
		},
		{
			"a rule of which an alias takes a part",
			top +
				"aliases:\n- {from: a, to: b}\nfrontends:\n- {name: a, match: [a, c]}\n- {name: b, match: [b]}\n",
			[]string{"entry-aliased a p:7:3"},
		},
		{
			"a rule for names to which another alias leads is fine",
			top +
				"aliases:\n- {from: a, to: b}\n- {from: c, to: a}\nfrontends:\n- {name: a, match: [a]}\n- {name: b, match: [b]}\n", nil,
		},
		{
			"a rule that the limits refuse",
			top +
				"limits: {match: [\"c.example/**\"]}\nfrontends:\n- {name: a, match: [a]}\n- {name: b, match: [\"**/b\"]}\n",
			[]string{"outside-limits a p:6:3"},
		},
		{
			"a deny rule that the limits refuse too is fine",
			top + "limits: {match: [\"c.example/**\"]}\nfrontends:\n- {name: a, match: [a], action: deny}\n",
			nil,
		},

		{
			"a build-arg without its prefix",
			head + "- {name: a, match: [a], options: {deny: [HTTP_PROXY], force: {SANDBOX: x}}}\n",
			[]string{"option-name a p:5:3", "option-name a p:5:3"},
		},
		{
			"options as clients send them are fine",
			head +
				"- {name: a, match: [a], options: {deny: [\"build-arg:HTTP_PROXY\", \"context:*\", add-hosts]}}\n", nil,
		},
		{
			"an option that is removed after it was refused",
			head +
				"- {name: a, match: [a], options: {deny: [\"build-arg:*\"], strip: [\"build-arg:X*\"]}}\n",
			[]string{"option-without-effect a p:5:3"},
		},
		{
			"an option that is removed and not let in",
			head + "- {name: a, match: [a], options: {only: [filename], strip: [\"build-arg:X*\"]}}\n",
			[]string{"option-without-effect a p:5:3"},
		},
		{
			"an option that is removed after it was warned of is fine",
			head + "- {name: a, match: [a], mode: warn, options: {only: [filename], " +
				"strip: [\"build-arg:X*\"]}}\n", nil,
		},
		{
			"a removed context that only lists by another name is fine",
			head + "- {name: a, match: [a], options: {only: [\"context:docker.io/library/*\"], " +
				"strip: [\"context:b::linux/amd64\"]}}\n", nil,
		},
		{
			"a removed option that only lists by another name is fine",
			head + "- {name: a, match: [a], options: {only: [hostname], " +
				"strip: [\"build-arg:BUILDKIT_SANDBOX_HOSTNAME\"]}}\n", nil,
		},
		{
			"an option that is let in and removed is fine",
			head +
				"- {name: a, match: [a], options: {only: [\"build-arg:*\"], strip: [\"build-arg:X*\"]}}\n",
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte(tt.doc))
			require.NoError(t, err)
			require.Equal(t, tt.want, list(check("p", p, lint.Options{Time: day()})))
		})
	}
}

func TestNothingHasExpiredAtAnUnknownTime(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(head+"- {name: a, match: [a], expires: 2001-01-01}\n"))
	require.NoError(t, err)
	require.Empty(t, lint.Check("p", p, lint.Options{Time: time.Time{}}))
}

func TestCheckIncludes(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"policy.yaml": {
			Data: []byte(
				top + "include: [team/a.yaml, empty.yaml]\nfrontends:\n- {name: base, match: [a]}\n"),
		},
		"team/a.yaml": {
			Data: []byte("version: 1\nfrontends:\n- {name: team, match: [a], tags: [\"1\"]}\n"),
		},
		"empty.yaml":      {Data: []byte("version: 1\n")},
		"indirect.yaml":   {Data: []byte(top + "include: [middle.yaml]\n")},
		"middle.yaml":     {Data: []byte("version: 1\ninclude: [team/a.yaml]\n")},
		"onlyempty.yaml":  {Data: []byte(top + "include: [empty.yaml]\n")},
		"onlyothers.yaml": {Data: []byte(top + "include: [team/a.yaml]\n")},
	}
	tests := []struct {
		name, file string
		want       []string
	}{
		{
			"a rule of an included file, and a file without any", "policy.yaml",
			[]string{"unused-include  policy.yaml:0:0", "shadowed team team/a.yaml:3:3"},
		},
		{"a file that only includes others is fine", "indirect.yaml", nil},
		{"a file without anything", "onlyempty.yaml", []string{"unused-include  onlyempty.yaml:0:0"}},
		{"a policy that only includes is fine", "onlyothers.yaml", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Load(files, tt.file)
			require.NoError(t, err)
			require.Equal(t, tt.want, list(check(tt.file, p, lint.Options{Time: day()})))
		})
	}
}
