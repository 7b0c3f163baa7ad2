package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Entries that no other check is about are tried on sample requests.
func TestEntriesThatMatterForNoSampleRequest(t *testing.T) {
	t.Parallel()
	const allow = "- name: all\n  match: [\"corp.example/**\"]\n"
	for _, tt := range []struct {
		name, rules string
		want        []string
	}{
		{
			"a denial before a wider one",
			allow + "- {name: a, match: [corp.example/b/a], action: deny}\n" +
				"- {name: b, match: [\"corp.example/b/*\"], action: deny}\n",
			[]string{"deny-without-effect 7:3"},
		},
		{
			"a denial with words of its own before a wider one",
			allow + "- {name: a, match: [corp.example/b/a], action: deny, message: ask us}\n" +
				"- {name: b, match: [\"corp.example/b/*\"], action: deny}\n",
			nil,
		},
		{
			"a rule that two others are for",
			"- {name: a, match: [corp.example/x], versions: \"<2\"}\n" +
				"- {name: b, match: [corp.example/x], versions: \">=2 <9\"}\n" +
				"- {name: c, match: [corp.example/x], versions: \">=1.5 <3\"}\n",
			[]string{"entry-without-effect 7:3"},
		},
		{
			"two entries that are each for what the other is for",
			"- {name: a, match: [corp.example/x], tags: [\"1.7.0\"], versions: \">=1.7.0 <1.7.1\"}\n",
			[]string{"entry-without-effect 5:45"},
		},
		{
			"a denial that becomes stricter than a warning when the mode does",
			"- {name: a, match: [corp.example/x], mode: warn, options: {deny: [k], only: [l]}}\n",
			[]string{"option-without-effect 5:67"},
		},
		{
			"an option that is removed and would be refused by its value",
			allow + "  options: {strip: [k], only: [l]}\n",
			[]string{"option-without-effect 7:21"},
		},
		{
			"a denied option with twins, where no option is let in",
			"- {name: a, match: [corp.example/x], options: {only: [kx], " +
				"deny: [kx, \"context:b::linux/amd64\"]}}\n",
			[]string{"option-without-effect 5:48", "entry-without-effect 5:71"},
		},
		{
			"a denied option behind a denial that an alias leaves for other ports",
			"- {name: a, match: [\"corp.example/**\"], action: deny, mode: warn}\n" +
				"- {name: b, match: [\"corp.example:80/x\"], options: {deny: [k]}}\n" +
				"aliases: [{from: \"corp.example/**\", to: \"docker.io/**\"}]\nmode: warn\n",
			[]string{
				"aliased-away 5:3", "entry-without-effect 6:60", "alias-not-allowed 7:11", "warn-mode 8:1",
			},
		},
		{
			"a rule that matters only once another has expired",
			"- {name: a, match: [corp.example/x], expires: 2099-01-01}\n" +
				"- {name: b, match: [corp.example/x]}\n",
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, allFindings(t, head+tt.rules))
		})
	}
}

// allFindings returns all findings of a document with their places.
func allFindings(t *testing.T, doc string) []string {
	t.Helper()
	p, err := policy.Parse("p", []byte(doc))
	require.NoError(t, err)
	var out []string
	for _, f := range lint.Check("p", p, lint.Options{
		Source: func(string) ([]byte, error) { return []byte(doc), nil },
	}) {
		out = append(out, fmt.Sprintf("%s %d:%d", f.Code, f.Line, f.Column))
	}
	return out
}

// An entry of a large policy isn't tried.
func TestEntriesOfLargePoliciesAreNotTried(t *testing.T) {
	t.Parallel()
	var rules strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rules, "- {name: r%[1]d, match: [corp.example/r%[1]d]}\n", i)
	}
	rules.WriteString("- {name: a, match: [corp.example/r1], action: deny}\n")
	rules.WriteString("- {name: b, match: [\"corp.example/r1*\"], action: deny}\n")
	for _, f := range allFindings(t, head+rules.String()) {
		require.NotContains(t, f, "deny-without-effect")
	}
}

// lint says if it ended before it was sure about each entry.
func TestEntriesOfIntricatePoliciesAreSaidNotToBeTried(t *testing.T) {
	t.Parallel()
	one, two := digest.FromString("1"), digest.FromString("2")
	intricate := "version: 1\nid: x\nfrontends:\n" +
		"- {name: r0, match: [\"c.example:*/**\", a/x], versions: ~1.7, digests: [" + one.String() + ", " +
		two.String() + "], mode: warn, platforms: [linux/arm/v7, linux/amd64], " +
		"options: {deny: [kx, \"context:b\"]}}\n" +
		"- {name: r1, match: [\"c.example:*/**\", \"c.example/**\"], tags: [\"*\", \"2026.*\"], " +
		"digests: [" + one.String() + "], requireDigest: true, warnAfter: 2099-03-02, options: {" +
		"deny: [hostname, \"context:b::linux/amd64\"], " +
		"strip: [\"build-arg:HTTP_*\", \"context:b::linux/amd64\"], force: {kx: w}, inputs: deny}}\n" +
		"- {name: r2, match: [\"c.example:80/x\", \"*.example/**\"]}\n" +
		"- {name: r3, match: [\"**/x\", \"docker.io/**\"], versions: 1.7.x || 2.x, action: deny}\n"
	codes := func(doc string) string { return strings.Join(allFindings(t, doc), "\n") }
	require.Contains(t, codes(intricate), "entries-not-tried 1:1")
	require.NotContains(t, codes(head+"- {name: a, match: [a/x]}\n"), "entries-not-tried")
}

// A pin is tried on each name that leads to its image.
func TestAliasesThatMatterForNoSampleRequest(t *testing.T) {
	t.Parallel()
	pins := func(tag string, n int) string {
		return fmt.Sprintf("pins: {%q: %q}}\n", tag, digest.FromString(fmt.Sprint(n)))
	}
	for _, tt := range []struct {
		name, aliases, rules string
		want                 []string
	}{
		{
			"a pin that only another port can have",
			"- {from: a/**, to: c.example/**}\n- {from: a/x, to: a/x, " + pins("1", 1),
			"- {name: a, match: [\"**/x\"]}\n",
			[]string{"alias-shadowed 6:3", "match-everything 8:21"},
		},
		{
			"a pin that only another port of the new name can have",
			"- {from: c.example/**, to: d.example/**}\n- {from: a/x, to: a/y}\n" +
				"- {from: a/x, to: c.example/x, " + pins("1", 1), "- {name: a, match: [a/y, \"**/x\"]}\n",
			[]string{"alias-shadowed 7:3", "match-everything 9:26"},
		},
		{
			"pins of two ports that differ, for a third one",
			"- {from: c.example/**, to: d.example/**}\n- {from: c.example/x, to: c.example/x, " +
				pins("1", 1) + "- {from: \"c.example:80/x\", to: \"c.example:80/x\", " + pins("1", 2),
			"- {name: a, match: [\"**/x\"]}\n- {name: d, match: [\"c.example:80/x\"], action: deny}\n",
			[]string{"alias-shadowed 6:3", "alias-not-allowed 7:3", "match-everything 9:21"},
		},
		{
			"an alias for a name that is refused, with a pin that is refused",
			"- {from: a/x, to: a/x, " + pins("1", 1),
			"- {name: a, match: [a/x], tags: [\"2\"]}\n",
			[]string{"entry-without-effect 5:3", "pin-refused 5:31"},
		},
		{
			"an alias whose pin another alias has too",
			"- {from: a/x, to: a/x, " + pins("1", 1) + "- {from: a/y, to: a/x, " + pins("1", 1),
			"- {name: a, match: [a/x]}\n",
			[]string{"entry-without-effect 6:31"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, allFindings(t, "version: 1\nid: x\ncontact: y\naliases:\n"+tt.aliases+
				"frontends:\n"+tt.rules))
		})
	}
}
