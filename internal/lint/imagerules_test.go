package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestRulesOnImagesAreCheckedAsThoseOnFrontends(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, rules string
		want        []string // code, place and a part of the message
	}{
		{"rules that all decide", "- {name: a, match: [\"c.example/**\"], tags: [\"1.*\"]}", nil},
		{
			"a rule after one that takes all of it", "- {name: a, match: [\"c.example/**\"]}\n" +
				"- {name: b, match: [c.example/x], tags: [\"1\"]}",
			[]string{
				"shadowed 12:7 build.images: rule \"b\": the rule never decides, because rule \"a\" on " +
					"line 11",
			},
		},
		{
			"a denial that no rule allows", "- {name: a, match: [\"c.example/**\"]}\n" +
				"- {name: b, match: [d.example/x], action: deny}\n" +
				"- {name: c, match: [c.example/x], action: deny}",
			[]string{"deny-without-effect 12:25 rule \"b\": match has d.example/x"},
		},
		{
			"denials alone are fine", "- {name: b, match: [d.example/x], action: deny}", nil,
		},
		{
			"a denial that warns is fine", "- {name: b, match: [d.example/x], action: deny, mode: warn}\n" +
				"- {name: a, match: [d.example/x]}", nil,
		},
		{
			"entries", "- {name: a, match: [\"c.example/**\", c.example/x], tags: [\"1.5\", \"1.*\"], exceptTags: [\"2\"]}",
			[]string{
				"entry-repeated 11:41 match has c.example/x", "entry-repeated 11:62 tags has 1.5",
				"except-without-effect 11:90 exceptTags has 2",
			},
		},
		{
			"an end, a late warning and a tag that moves", "- {name: a, match: [c.example/x], expires: 2027-01-01}\n" +
				"- {name: b, match: [c.example/y], tags: [latest], versions: \">=1 <9\", warnAfter: 2028-01-01, expires: 2027-12-31}",
			[]string{
				"expired 11:39 the rule expired on", "warn-after-expiry 12:75 never warns",
				"unbounded-tag 12:46 tags has latest",
			},
		},
		{
			"names that run on", "- {name: a, match: [\"c.example/org*/**\"]}",
			[]string{"prefix-runs-on 11:25 match has c.example/org*/**"},
		},
		{"every image", "- {name: a, match: [\"**\"]}", []string{"build-allows-any 11:25 match has **"}},
		{"every image but one tag is fine", "- {name: a, match: [\"**\"], exceptTags: [latest]}", nil},
		{
			"every image but those that are denied is fine",
			"- {name: a, match: [\"**\"]}\n- {name: b, match: [\"c.example/**\"], action: deny}", nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := head + "- name: fe\n  match: [docker/dockerfile]\n  dispatch: mediate\n  build:\n" +
				"    others: deny\n    images:\n    " + strings.ReplaceAll(tt.rules, "\n", "\n    ")
			p, err := policy.Parse("p", []byte(doc))
			require.NoError(t, err)
			found := lint.Check("p", p, lint.Options{
				Time: day(), Source: func(string) ([]byte, error) { return []byte(doc), nil },
			})
			require.Len(t, found, len(tt.want), "%+v", found)
			for _, want := range tt.want {
				code, rest, _ := strings.Cut(want, " ")
				place, message, _ := strings.Cut(rest, " ")
				is := false
				for _, f := range found {
					is = is || string(f.Code) == code && fmt.Sprintf("%d:%d", f.Line, f.Column) == place &&
						strings.Contains(f.Message, message) && f.Rule == "fe"
				}
				require.True(t, is, "%s\n%+v", want, found)
			}
		})
	}
}

func TestPlatformsThatNoBuildCanBeFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, fields string
		want         []string
	}{
		{"platforms", "", nil},
		{"another option that is removed", "options: {strip: [target]}", nil},
		{"the option that is removed", "options: {strip: [platform]}", []string{"options-contradict 7:3"}},
		{"the option that is refused", "options: {deny: [\"plat*\"]}", []string{"options-contradict 7:3"}},
		{"the option that isn't listed", "options: {only: [target]}", []string{"options-contradict 7:3"}},
		{"the option that is listed", "options: {only: [platform]}", nil},
		{
			"a refusal that only warns", "mode: warn\n  options: {strip: [platform]}",
			[]string{"entry-without-effect 7:15"},
		},
		{
			"another one that is set", "options: {force: {platform: linux/s390x}}",
			[]string{"options-contradict 7:3"},
		},
		{
			"one that is set, in another spelling", "options: {force: {platform: linux/aarch64}}",
			[]string{"entry-without-effect 7:15"},
		},
		{"all that are set", "options: {force: {platform: \"linux/arm64,linux/amd64\"}}", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range findings(t, head+"- name: fe\n  match: [docker/dockerfile]\n"+
				"  platforms: [linux/amd64, linux/arm64/v8]\n  "+tt.fields+"\n") {
				if f != "allows-nothing 4:1" {
					got = append(got, f)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}
