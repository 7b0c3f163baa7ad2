package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTagConditions(t *testing.T) {
	t.Parallel()
	const doc = `version: 1
frontends:
- {name: both, match: [a], tags: [latest], versions: ">=1.4.0 <2.0.0", variants: [labs, x-labs], exceptTags: ["1.5.0", "*bad*"]}
- {name: but, match: [b], exceptTags: [latest]}
- {name: old, match: [c], versions: "<1.5.0", action: deny}
- {name: c, match: [c]}
- {name: odd, match: [d], versions: ">=1.4.3 <1.4.6", variants: [x], exceptTags: ["1.4.5"], action: deny}
- {name: d, match: [d]}
- {name: pre, match: [e], versions: "1.7.0-labs", variants: [labs]}
- {name: tags, match: [f], tags: ["1.5.0", "*-labs", "v3.*"], variants: [x], action: deny}
- {name: f, match: [f]}
- {name: g, match: [g], versions: ">=1.4"}
- {name: h, match: [h], versions: ">=1.7.0-0 <2"}
- {name: i, match: [i], versions: ">=2026.01"}
- {name: j, match: [j], versions: "<=1.7"}
- {name: k, match: [k], versions: ">1.7", action: deny}
- {name: k2, match: [k]}
- {name: padded, match: [m], tags: ["2026.01.*"], action: deny}
- {name: m, match: [m], versions: ">=2020", variants: [x, alpine], exceptTags: ["2027.02.*"]}
`
	l := mustStack(t, doc, "")
	tests := []struct {
		name, ref string
		verdict   Verdict
		reason    string
	}{
		{"a tag that a glob accepts", "a:latest", Allow, ""},
		{"a tag that the range accepts", "a:1.7", Allow, ""},
		{"a variant of a version", "a:1.7-labs", Allow, ""},
		{"a variant with a dash", "a:1.7-x-labs", Allow, ""},
		{"a full version's variant is no prerelease", "a:1.7.0-labs", Allow, ""},
		{
			"another suffix", "a:1.7-rc", Deny,
			`rule "both" would allow it, but only with the tag latest or versions >=1.4.0 <2.0.0 but not tags 1.5.0 or *bad*, not 1.7-rc`,
		},
		{"a version that is excepted", "a:1.5.0", Deny, "not 1.5.0"},
		{"a variant of a version that is excepted", "a:1.5.0-labs", Deny, "not 1.5.0-labs"},
		{"a tag that an exception's glob has", "a:1.7-bad-labs", Deny, "not 1.7-bad-labs"},
		{
			"a part of a version that is only partly inside", "a:1", Deny,
			`rule "both" would allow it, but only with the tag latest or versions >=1.4.0 <2.0.0 but not tags 1.5.0 or *bad*, and 1 can be a version outside of them: write the full version`,
		},
		{
			"a digest without a tag", "a@" + digestA, Deny,
			"and the reference has none: write the tag as well as the digest",
		},
		{"any tag but one", "b:1", Allow, ""},
		{
			"the one", "b", Deny,
			`rule "but" would allow it, but only with the tags other than tag latest, not latest`,
		},
		{"the one in capital letters", "b:LATEST", Deny, "not LATEST"},
		{
			"a digest without a tag can be the one", "b@" + digestA, Deny,
			`rule "but" would allow it, but not with the tag latest, and a digest alone doesn't tell the tag: write the tag as well as the digest`,
		},
		{
			"a part of a version that can be an excepted one", "a:1.5", Deny,
			"and 1.5 can be a version outside of them: write the full version",
		},
		{"an excepted version in another spelling", "a:v01.5.0", Deny, "not v01.5.0"},
		{
			"a variant that the rule doesn't have", "g:1.7.0-labs", Deny,
			`rule "g" would allow it, but only with the versions >=1.4, and 1.7.0-labs counts as a prerelease, which they leave out (for 1.7.0-labs as a variant of 1.7.0, the rule needs variants: [labs])`,
		},
		{
			"a variant of a part of a version", "g:1.7-labs", Deny,
			`not 1.7-labs (for 1.7-labs as a variant of 1.7, the rule needs variants: [labs])`,
		},
		{
			"a suffix of a version that the range lacks", "g:1.3-labs", Deny,
			"versions >=1.4, not 1.3-labs",
		},
		{"a prerelease of an upper bound", "h:2.0.0-rc1", Deny, "counts as a prerelease"},
		{"a prerelease of the versions", "h:1.9.0-rc1", Allow, ""},
		{"leading zeros", "i:2026.01", Allow, ""},
		{"leading zeros of an earlier version", "i:2025.12.01", Deny, "not 2025.12.01"},
		{"a number instead of a date", "i:20261103", Allow, ""},
		{"a zero-padded denial", "m:2026.01.3", Deny, ""},
		{"a zero-padded denial of a version without zeros", "m:2026.1.3", Deny, ""},
		{"a zero-padded denial of a part of its versions", "m:2026.01", Deny, ""},
		{"a zero-padded denial with a v", "m:v2026.01.3", Deny, ""},
		{"a zero-padded denial with a suffix", "m:2026.01-alpine", Deny, ""},
		{"another month than the denied", "m:2026.10.3", Allow, ""},
		{"a zero-padded exception", "m:2027.2.1", Deny, ""},

		{
			"a version after a bound that may have it", "j:1.7.5", Deny,
			`rule "j" would allow it, but only with the versions <=1.7 (read as <=1.7.0), not 1.7.5`,
		},
		{"the first version of such a bound", "j:1.7.0", Allow, ""},
		{"the bound itself, which may be later", "j:1.7", Deny, "write the full version"},

		{
			"a version that a denied bound may have", "k:1.7.5", Deny, `rule "k" denies k:1.7.5`,
		},
		{
			"a denied bound itself", "k:1.7", Deny,
			`rule "k" denies the versions >1.7 (read as >1.7.0), and 1.7 can be one of them`,
		},
		{"the first version before a denied bound", "k:1.7.0", Allow, ""},

		{"a denied tag", "f:1.5.0", Deny, `rule "tags" denies f:1.5.0`},
		{"a denied tag with a v", "f:v1.5.0", Deny, `rule "tags" denies`},
		{
			"a part that can be a denied tag", "f:1.5", Deny,
			`rule "tags" denies the tags 1.5.0, *-labs or v3.*, and 1.5 can be one of them: write the full version`,
		},
		{"a smaller part", "f:1", Deny, "can be one of them"},
		{"a variant of a denied tag", "f:1.5.0-x", Deny, `rule "tags" denies`},
		{"a suffix that is no variant", "f:1.5.0-y", Allow, ""},
		{"another version than a denied tag", "f:1.5.1", Allow, ""},
		{"a denied tag in capital letters", "f:1.7-LABS", Deny, `rule "tags" denies`},
		{"a part that a denied glob has without a v", "f:3", Deny, "can be one of them"},
		{"a version that a denied glob has without a v", "f:3.1", Deny, `rule "tags" denies`},
		{"a part whose versions have no suffix", "f:1.7", Allow, ""},

		{"a deny rule's version", "c:1.4.9", Deny, `rule "old" denies c:1.4.9`},
		{"a version after a deny rule's", "c:1.5.0", Allow, ""},
		{
			"a part that can be a deny rule's version", "c:1", Deny,
			`rule "old" denies the versions <1.5.0, and 1 can be one of them: write the full version`,
		},
		{"a part that can't be", "c:1.5", Allow, ""},
		{"a suffix doesn't get past a deny rule", "c:1.4-x", Deny, `rule "old" denies`},
		{"a prerelease doesn't get past a deny rule", "c:1.4.0-rc1", Deny, `rule "old" denies`},
		{
			"a prerelease of the first version after", "c:1.5.0-rc1", Deny,
			`and 1.5.0-rc1 can be one of them`,
		},
		{
			"a digest doesn't get past a deny rule", "c@" + digestA, Deny,
			"and the reference has none that would rule it out",
		},
		{
			"a tag that is no version can be a deny rule's version", "c:latest", Deny,
			`rule "old" denies the versions <1.5.0, and latest can't be compared with them: write a version as the tag`,
		},
		{"a word before a version", "c:release-1.5", Deny, "release-1.5 can't be compared with them"},
		{"a word behind a version", "c:1.5_hotfix", Deny, "1.5_hotfix can't be compared with them"},
		{"a dot behind a version", "c:1.5.", Deny, "can't be compared with them"},
		{"five numbers", "c:1.5.0.0.0", Deny, "can't be compared with them"},
		{"more than 64 bits", "c:18446744073709551616", Deny, "can't be compared with them"},
		{"leading zeros don't get past a deny rule", "c:01.04", Deny, `rule "old" denies c:01.04`},
		{"nor do four numbers", "c:1.4.9.1", Deny, `rule "old" denies`},
		{"nor does a capital letter", "c:V1.4", Deny, `rule "old" denies`},
		{"a later version with leading zeros", "c:v01.05.00.1", Allow, ""},
		{"a suffix behind a later version", "c:1.6-alpine", Allow, ""},
		{"a suffix that can make a prerelease", "c:1.5-alpine", Deny, "1.5-alpine can be one of them"},
		{"a part around a deny rule's versions", "d:1.4", Deny, "and 1.4 can be one of them"},
		{"what a deny rule excepts", "d:1.4.5", Allow, ""},
		{"a variant is no prerelease of that name", "e:1.7.0-labs", Deny, `rule "pre" would allow it`},
		{"a variant of what a deny rule excepts", "d:1.4.5-x", Deny, `rule "odd" denies`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref))
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			require.Contains(t, d.Reason, tt.reason)
		})
	}
	believed := Decide(l, request(t, "a:1.7@"+digestA))
	require.Equal(t, Allow, believed.Verdict)
	require.True(t, believed.TagUnverified, "a rule on versions rests on the tag")
	require.Equal(t, Deny, Decide(l, request(t, "a:1.7@"+digestA, digestA, digestB)).Verdict)
	believed = Decide(l, request(t, "c:1.5@"+digestA))
	require.True(t, believed.TagUnverified, "only its version keeps it from the deny rule")
	require.Equal(t, Deny, Decide(l, request(t, "c:1.5@"+digestA, digestA, digestB)).Verdict)
}
