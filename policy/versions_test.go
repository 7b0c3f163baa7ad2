package policy

import (
	"fmt"
	"math"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/stretchr/testify/require"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, versions  string
		allowed, denied []string
	}{
		{
			"a range", ">=1.4.0 <2.0.0",
			[]string{"1.4", "1.4.0", "1.7", "1.99.99", "v1.7", "v1.7.1"},
			[]string{
				"1", "2", "2.0", "1.3.9", "0", "latest", "labs", "1.7-labs", "1.7.0-rc1", "", "1.7.1.1",
				"01.7", "1.07", "V1.7", "vv1.7", "1.", ".1", "1.x", "+1.7", "1_7",
			},
		},
		{"a range in other words", "^1.4", []string{"1.4", "1.9"}, []string{"1", "1.3", "2"}},
		{"a part of a version", "1.7", []string{"1.7", "1.7.3"}, []string{"1", "1.8", "1.6"}},
		{"a part with an x", "1.x", []string{"1", "1.7", "1.7.3"}, []string{"2", "0.9"}},
		{"one version", "1.7.1", []string{"1.7.1", "v1.7.1"}, []string{"1.7", "1.7.2", "1"}},
		{"up to a part", "<=1.7", []string{"1.7", "1.7.9", "1.6", "0"}, []string{"1.8", "1"}},
		{"after a part", ">1.7", []string{"1.8", "2"}, []string{"1.7", "1.7.9", "1"}},
		{"a tilde", "~1.7.2", []string{"1.7.2", "1.7.9"}, []string{"1.7", "1.7.1", "1.8"}},
		{"a hyphen", "1.2 - 1.4", []string{"1.2", "1.3", "1.4"}, []string{"1.1", "1.5", "1"}},
		{"any version", "*", []string{"0", "1", "1.7.3"}, []string{"latest", "1.7.0-rc1"}},
		{
			"one of two ranges", ">=1.4 <1.6 || >=2",
			[]string{"1.4", "1.5", "2", "3.1"},
			[]string{"1.6", "1", "1.7"},
		},
		{
			"two ranges that only together have all of it", ">=1.0.0 <1.5.0 || >=1.5.0 <2.0.0",
			[]string{"1.4", "1.5"},
			[]string{"1"},
		},
		{"a range that ends within a part", ">=1.4.3 <1.6.0", []string{"1.5", "1.4.3"}, []string{"1.4"}},
		{
			"a prerelease that is named", ">=1.7.0-rc1 <1.8.0",
			[]string{"1.7.0-rc1", "1.7.0-rc2", "1.7.0", "1.7.1-rc1", "1.7"},
			[]string{"1.7.0-beta", "1.8.0"},
		},
		{"nothing but a prerelease", "1.7.0-rc1", []string{"1.7.0-rc1"}, []string{"1.7.0", "1.7"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := parseVersions(tt.versions)
			require.NoError(t, err)
			for _, tag := range tt.allowed {
				v, ok := parseTagVersion(tag)
				require.True(t, ok && r.contains(v), tag)
				require.True(t, r.touches(v), tag)
			}
			for _, tag := range tt.denied {
				v, ok := parseTagVersion(tag)
				require.False(t, ok && r.contains(v), tag)
			}
		})
	}
}

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
		{
			"a digest without a tag has not any tag but one", "b@" + digestA, Deny,
			"write the tag as well as the digest",
		},

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
		{"a tag that is no version", "c:latest", Allow, ""},
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

// FuzzVersionInterval: the interval of a range has exactly the releases that the
// library, asked one by one, says are in the range.
func FuzzVersionInterval(f *testing.F) {
	for _, s := range []string{
		">=1.4.0 <2.0.0", "^1", "^0.2.3", "^0.0.3", "^0.0", "^0", "~1.2", "~1", "1.x", "=1.2", ">1",
		">1.2", "<=1", "<=1.2", "<2", "1 - 2.1", "*", "~0.0.0",
		">0 <=2.1.1", ">=1, <2", "1.2.3", ">=1.0.0-rc1", "x", ">*", "<1 >0.1", "<=*", ">1.x <3", "~>1.1",
		"=>1 =<2", "=", "1.2.3.4", "1|2", "0.0.0 || 2.2.2",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseVersions(s)
		if err != nil {
			return
		}
		all, err := semver.NewConstraint(s)
		require.NoError(t, err)
		numbers := []uint64{0, 1, 2, 3, 4, math.MaxUint64 - 1, math.MaxUint64}
		for _, v := range boundaries(s) { // What stands in the range matters more than other versions.
			numbers = append(numbers, v.major)
		}
		numbers = numbers[:min(len(numbers), 10)]
		in := func(v version) bool {
			tag, ok := parseTagVersion(fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch))
			require.True(t, ok)
			require.Equal(t, r.contains(tag), r.touches(tag), "a single version is inside or outside")
			return r.contains(tag)
		}
		for _, major := range numbers {
			someMajor, everyMajor := false, true
			for _, minor := range numbers {
				some, every := false, true
				for _, patch := range numbers {
					v := version{major, minor, patch}
					require.Equal(t, all.Check(v.semver()), in(v), "%q %v", s, v)
					some, every = some || in(v), every && in(v)
				}
				part, _ := parseTagVersion(fmt.Sprintf("%d.%d", major, minor))
				require.True(t, every || !r.contains(part), "%q takes %d.%d, of which it has only some", s,
					major, minor)
				require.True(t, !some || r.touches(part), "%q misses some of %d.%d", s, major, minor)
				someMajor, everyMajor = someMajor || some, everyMajor && every
			}
			part, _ := parseTagVersion(fmt.Sprint(major))
			require.True(t, everyMajor || !r.contains(part))
			require.True(t, !someMajor || r.touches(part))
		}
	})
}
