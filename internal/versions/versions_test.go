package versions

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strings"
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
				"1", "2", "2.0", "1.3.9", "0", "latest", "labs", "1.7-labs", "1.7.0-rc1", "",
				"vv1.7", "1.", ".1", "1.x", "+1.7", "1_7",
			},
		},
		{"a range in other words", "^1.4", []string{"1.4", "1.9"}, []string{"1", "1.3", "2"}},
		{"a part of a version", "1.7", []string{"1.7", "1.7.3"}, []string{"1", "1.8", "1.6"}},
		{"a part with an x", "1.x", []string{"1", "1.7", "1.7.3"}, []string{"2", "0.9"}},
		{"one version", "1.7.1", []string{"1.7.1", "v1.7.1"}, []string{"1.7", "1.7.2", "1"}},
		{"up to all of a part", "<=1.7.x", []string{"1.7", "1.7.9", "1.6", "0"}, []string{"1.8", "1"}},
		{"after a part", ">1.7", []string{"1.8", "2"}, []string{"1.7", "1.7.9", "1"}},
		{"a tilde", "~1.7.2", []string{"1.7.2", "1.7.9"}, []string{"1.7", "1.7.1", "1.8"}},
		{"a hyphen", "1.2 - 1.4.x", []string{"1.2", "1.3", "1.4"}, []string{"1.1", "1.5", "1"}},
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
			r, err := Parse(tt.versions)
			require.NoError(t, err)
			for _, tag := range tt.allowed {
				v, ok := ParseTag(tag)
				require.True(t, ok && r.Contains(v, Least), tag)
				require.True(t, r.Touches(v, Most), tag)
			}
			for _, tag := range tt.denied {
				v, ok := ParseTag(tag)
				require.False(t, ok && r.Contains(v, Least), tag)
			}
		})
	}
}

func TestReadings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, versions          string
		inside, partly, outside []string
	}{
		{
			"numbers with leading zeros", "<2026.3",
			[]string{"2026.01", "2025.12.01", "02025.1", "2025.12.1.2", "V2025.1", "v2025", "20.04"},
			[]string{"2026"},
			[]string{"2026.03", "2026.10", "20261103", "2026.3.0.1"},
		},
		{
			"a range with leading zeros", ">=2026.01 <2026.010",
			[]string{"2026.1", "2026.09", "2026.9.9.9"},
			[]string{"2026"},
			[]string{"2026.10", "2026.0", "2025.12"},
		},
		{
			"four numbers", ">=1.2.3.4 <=1.2.3.9",
			[]string{"1.2.3.4", "1.2.3.09"},
			[]string{"1.2.3", "1.2", "1"},
			[]string{"1.2.3.3", "1.2.3.10", "1.2.4"},
		},
		{"one of four numbers", "V1.2.3.4", []string{"1.2.3.4"}, []string{"1.2.3"}, []string{"1.2.3.5"}},
		{
			"a time stamp", ">=20261103120000",
			[]string{"20261103120000", "20261103120000.1"},
			nil,
			[]string{"20261103119999"},
		},
		{
			"an upper bound keeps its prereleases out", ">=1.7.0-0 <2",
			[]string{"1.7.0-rc1", "1.9.0-rc1", "1.9"},
			[]string{"2.0.0-rc1", "1", "2.0.0-0"},
			[]string{"2.0.1-rc1", "2", "1.6.0-rc1"},
		},
		{
			"an upper bound with a prerelease has those before", ">=1.7.0-0 <2.0.0-rc2",
			[]string{"2.0.0-rc1", "1.9"},
			nil,
			[]string{"2.0.0-rc2", "2.0.0-rc3", "2.0.0"},
		},
		{
			"a part and what comes after it", "<=1.7.x >=1.6.0-rc1",
			[]string{"1.7.9.9", "1.6.0-rc1", "1.7.3-rc1"},
			[]string{"1"},
			[]string{"1.6.0-beta", "1.8.0-rc1"},
		},
		{"a caret and zeros", "^0.0.3", []string{"0.0.3", "0.0.3.9"}, []string{"0.0"}, []string{"0.0.4"}},
		{"a tilde and zeros", "~0.0.0", []string{"0.0", "0.0.7"}, []string{"0"}, []string{"0.1"}},
		{
			"up to a part, which may be its first version", "<=1.7",
			[]string{"1.7.0", "1.7.0.9", "1.6", "1.6.99", "0"},
			[]string{"1.7", "1.7.1", "1.7.99", "1", "1.7.1-rc1", "1.7.0-rc1"},
			[]string{"1.8", "1.8.0-rc1"},
		},
		{
			"up to a number", "<=1",
			[]string{"1.0.0", "0.9"},
			[]string{"1", "1.0", "1.0.1", "1.7", "1.7.3"},
			[]string{"2", "2.0.0-rc1"},
		},
		{
			"after a part, which may be its first version", ">1.7",
			[]string{"1.8", "1.8.0", "2"},
			[]string{"1.7", "1.7.1", "1.7.99", "1", "1.7.1-rc1", "1.8.0-rc1"},
			[]string{"1.7.0", "1.7.0.9", "1.7.0-rc1", "1.6"},
		},
		{
			"after a number", ">1",
			[]string{"2", "2.0", "3"},
			[]string{"1", "1.0", "1.0.1", "1.7.3"},
			[]string{"1.0.0", "0"},
		},
		{
			"prereleases of what follows a part", ">1.7 <2.0.0-rc2",
			[]string{"1.8.0", "1.8.1-rc1"},
			[]string{"1.8.0-rc1"},
			[]string{"2.0.0-rc3", "1.7.0"},
		},
		{
			"a hyphen before a part", "1.2 - 1.7",
			[]string{"1.2", "1.6", "1.7.0"},
			[]string{"1", "1.7", "1.7.5"},
			[]string{"1.1", "1.8"},
		},
		{
			"a tilde and a greater sign", "~>1.7",
			[]string{"1.7", "1.7.9"},
			[]string{"1", "1.8", "1.99.1"},
			[]string{"1.6", "2"},
		},
		{
			"a tilde and a greater sign before four numbers", "~>1.2.3.4",
			[]string{"1.2.3.4", "1.2.3.9"},
			[]string{"1.2.3", "1.2.4", "1.2"},
			[]string{"1.2.3.3", "1.3"},
		},
		{
			"a tilde and a greater sign before a number", "~>1",
			[]string{"1", "1.9"},
			nil,
			[]string{"0.9", "2"},
		},
		{
			"full versions", ">1.6.0 <=1.7.0",
			[]string{"1.6.1", "1.7.0"},
			[]string{"1.7", "1", "1.6"},
			[]string{"1.6.0", "1.7.1", "1.6.0.5"},
		},
		{"no prerelease is named", ">=1.0", nil, []string{"2.0.0-rc1"}, []string{"1.0.0-rc1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse(tt.versions)
			require.NoError(t, err)
			check := func(tags []string, contains, touches bool) {
				for _, tag := range tags {
					v, ok := ParseTag(tag)
					require.True(t, ok, tag)
					require.Equal(t, contains, r.Contains(v, Least), "contains %s", tag)
					require.Equal(t, touches, r.Touches(v, Most), "touches %s", tag)
				}
			}
			check(tt.inside, true, true)
			check(tt.partly, false, true)
			check(tt.outside, false, false)
		})
	}
}

func TestNoVersions(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{
		"", "latest", "1.7-rc1", "1.", ".1", "1.x", "1_7", "vv1", "vV1", "+1", "1.2.3.4.5", "1..2", "x",
		"*",
		"18446744073709551616", "1.7.0-", "1.7.0-01", "2025.1_hotfix", "release-2025.1",
	} {
		_, ok := ParseTag(tag)
		require.False(t, ok, tag)
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	tag := func(s string) Tag {
		v, ok := ParseTag(s)
		require.True(t, ok, s)
		return v
	}
	require.Equal(t, "2026.1", tag("V2026.01").String())
	require.Equal(t, "1.7.0-rc.1", tag("v01.7.0-rc.1").String())
	require.True(t, tag("v1.50").Same(tag("1.050")))
	require.False(t, tag("1.5").Same(tag("1.5.0")))
	require.True(t, tag("1").CanBe(tag("1.5.0")))
	require.True(t, tag("1.5").CanBe(tag("1.5.0")))
	require.False(t, tag("1.5.0").CanBe(tag("1.5")))
	require.False(t, tag("1.5").CanBe(tag("1.5.0-rc1")))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "nothing on one side of ||",
		">=1 ||":                  "nothing on one side of ||",
		"!=1.5":                   "leaves a version out",
		">*":                      "is not a range of versions",
		"<=x":                     "is not a range of versions",
		"1.x.2":                   "is not a range of versions",
		"1.2.3.4.5":               "is not a range of versions",
		"1|2":                     "is not a range of versions",
		"1.7-rc1":                 "is not a range of versions",
		">=18446744073709551616":  "is not a range of versions",
		"latest":                  "is not a range of versions",
		"=":                       "is not a range of versions",
		">2 <1":                   "no version is",
		"<0":                      "no version is",
		">=2.0.0-rc1 <1":          "no version is",
		">1.7 <1":                 "no version is",
		">=1.7.1 <=1.7":           "has versions only if it means \">=1.7.1 <=1.7.x\"",
		">1.7 <1.8":               "has versions only if it means \">1.7.0 <1.8\"",
		strings.Repeat("1 ", 300): "more than 512",
	} {
		_, err := Parse(in)
		require.ErrorContains(t, err, want, in)
	}
}

func TestReadingsInWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"<=1.7":                             {"<=1.7.0", "<=1.7.x"},
		"=<v1":                              {"=<v1.0.0", "=<v1.x"},
		">1.7":                              {">1.7.x", ">1.7.0"},
		">= 1.4, <=1.7 || 3.x":              {">=1.4 <=1.7.0 || 3.x", ">=1.4 <=1.7.x || 3.x"},
		"1.2 - 1.7":                         {">=1.2 <=1.7.0", ">=1.2 <=1.7.x"},
		"~>1.7":                             {">=1.7 <=1.7.x", ">=1.7 <=1.x"},
		"~>1.2.3.4":                         {">=1.2.3.4 <=1.2.3.x", ">=1.2.3.4 <=1.2.x"},
		">=1.7 <1.8 ~1.7 ^1.7 1.7 =1.7 1.x": {},
		">1.6.x <=1.7.x ~>1.7.x":            {},
		">1.6.0 <=1.7.0 ~>1.6.3":            {},
		"1.2 - 1.7.x || ~>1 || *":           {},
	} {
		r, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, [2]string{r.Words(Least), r.Words(Most)}, in)
		for i, words := range want {
			if words == "" {
				continue
			}
			one, err := Parse(words)
			require.NoError(t, err, words)
			require.Empty(t, one.Words(Least), "%s has one reading", words)
			require.Equal(t, r.Spans(Reading(i)), one.Spans(Least), words)
			require.Equal(t, r.Spans(Reading(i)), one.Spans(Most), words)
		}
	}
}

// FuzzRange compares a range with github.com/Masterminds/semver, which is asked for releases one by
// one: for the words as they are, and for the words with zeros behind a part. A range surely has
// what it has in both readings, and can have what it has in one. A part of a version is surely in
// it if all of these are, and touches it if some are.
func FuzzRange(f *testing.F) {
	for _, s := range []string{
		">=1.4.0 <2.0.0", "^1", "^0.2.3", "^0.0.3", "^0.0", "^0", "~1.2", "~1", "1.x", "=1.2", ">1",
		">1.2", "<=1", "<=1.2", "<2", "1 - 2.1", "*", ">0 <=2.1.1", ">=1, <2", "1.2.3", ">=1.0.0-rc1",
		"x",
		"<1 >0.1", ">1.x <3", "~>1.1", "=>1 =<2", "0.0.0 || 2.2.2", "v1.2", "~>1 || ~>2.3.1 <=2.3",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		all, libraryErr := semver.NewConstraint(s)
		odd := strings.ContainsAny(s, "~^") &&
			(strings.ContainsAny(s, "xX*") || strings.Contains(s, "0.0"))
		if err != nil || libraryErr != nil || odd {
			return // The library takes ~0.0.0 for any version, and ^x for 0.
		}
		other, err := semver.NewConstraint(withZeros(s))
		require.NoError(t, err, "%q", withZeros(s))
		numbers := []uint64{0, 1, 2, 3, 4, math.MaxUint64}
		for _, span := range r.Spans(Most) { // What stands in the range matters more than other versions.
			numbers = append(numbers, span.Low[0], span.Low[1], span.High[0], span.High[1])
		}
		numbers = numbers[:min(len(numbers), 10)]
		for _, major := range numbers {
			for _, minor := range numbers {
				some, every := false, true
				for _, patch := range numbers {
					v := semver.New(major, minor, patch, "", "")
					tag, ok := ParseTag(v.String())
					require.True(t, ok)
					as, zeros := all.Check(v), other.Check(v)
					require.True(t, !r.Contains(tag, Least) || as && zeros, "%q surely has %s", s, tag)
					require.True(t, r.Touches(tag, Most) || !as && !zeros, "%q can't have %s", s, tag)
					if r.Words(Least) == "" {
						require.Equal(t, as, r.Contains(tag, Least), "%q %s", s, tag)
						require.Equal(t, as, r.Touches(tag, Most), "%q %s", s, tag)
					}
					some, every = some || r.Touches(tag, Most), every && r.Contains(tag, Least)
				}
				part, _ := ParseTag(fmt.Sprintf("%d.%d", major, minor))
				require.True(t, every || !r.Contains(part, Least), "%q has only some of %d.%d", s, major, minor)
				require.True(t, !some || r.Touches(part, Most), "%q misses some of %d.%d", s, major, minor)
			}
		}
	})
}

// partial matches the bounds that have two readings.
var partial = regexp.MustCompile(`(\s-\s+|~>\s*|<=\s*|=<\s*|>\s*)(v?[0-9]+)(\.[0-9]+)?([\s,|]|$)`)

// withZeros writes each partial bound with zeros, and ~> as Ruby reads it.
func withZeros(s string) string {
	return partial.ReplaceAllStringFunc(s, func(bound string) string {
		m := partial.FindStringSubmatch(bound)
		operator, major, minor, end := m[1], m[2], m[3], m[4]
		if !strings.HasPrefix(operator, "~") {
			return operator + major + cmp.Or(minor, ".0") + ".0" + end
		}
		return ">=" + major + minor + " ~" + major + end
	})
}
