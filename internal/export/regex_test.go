package export

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func whollyMatches(t *testing.T, expression, s string) bool {
	t.Helper()
	re, err := regexp.Compile("^(?:" + expression + ")$")
	require.NoError(t, err)
	return re.MatchString(s)
}

// numbers matches exactly the numbers between both.
func FuzzNumbers(f *testing.F) {
	for _, n := range [][3]uint64{
		{0, 0, 0},
		{3, 9, 9},
		{7, 1234, 999},
		{10, last, 9},
		{5, last, 5},
		{99, 100, 100},
		{1000, last, 1 << 60},
		{1, 2, 3},
	} {
		f.Add(n[0], n[1], n[2])
	}
	f.Fuzz(func(t *testing.T, low, high, n uint64) {
		if low > high {
			low, high = high, low
		}
		for _, x := range []uint64{n, low, high, low + 1, high - 1, n % 100, low + n%7} {
			want := x >= low && x <= high && (high != last || len(fmt.Sprint(x)) <= wideDigits)
			require.Equal(t, want, whollyMatches(t, numbers(low, high, wideDigits), fmt.Sprint(x)),
				"%d in %d to %d", x, low, high)
			if !want {
				require.False(t, whollyMatches(t, numbers(low, high, narrowDigits), fmt.Sprint(x)),
					"%d in %d to %d", x, low, high)
			}
			require.Equal(t, want, whollyMatches(t, numbers(low, high, wideDigits), "0"+fmt.Sprint(x)),
				"a leading zero")
		}
	})
}

func TestNumbersWithoutBoundEndBefore64BitsDo(t *testing.T) {
	t.Parallel()
	beyond := new(big.Int).SetUint64(last)
	beyond.Add(beyond, big.NewInt(1))
	for _, low := range []uint64{0, 1, 7, 10, 12345} {
		require.False(t, whollyMatches(t, numbers(low, last, narrowDigits), beyond.String()))
		require.True(t, whollyMatches(t, numbers(low, last, narrowDigits), "9999999999999999999"))
	}
}

// The exported tags of a range are those that the policy takes: for an allow rule no
// other ones, for a deny rule at least those.
func TestVersionsAsRegularExpressions(t *testing.T) {
	t.Parallel()
	var tags []string
	for _, v := range []string{"", "v", "vv", "0"} {
		for major := range 4 {
			tags = append(tags, fmt.Sprintf("%s%d", v, major))
			for minor := range 12 {
				tags = append(tags, fmt.Sprintf("%s%d.%d", v, major, minor))
				for _, patch := range []int{0, 1, 2, 3, 4, 5, 10, 100} {
					tags = append(tags, fmt.Sprintf("%s%d.%d.%d", v, major, minor, patch),
						fmt.Sprintf("%d.%d.%d-rc1", major, minor, patch),
						fmt.Sprintf("%d.%d.%d-labs", major, minor, patch))
				}
			}
		}
	}
	tags = append(tags, "latest", "1.", "1.2.3.4", "1.7-labs", "2-labs", "1.7-x",
		"V1.7", "1_7", "1.5_x", "release-1.5", "1.2.3.4.5", "v", "v-1", "1.5.-x", "99999999999999999999",
		"18446744073709551616.1", "00000000000000000000000001.5", "1.05.0.07", "LATEST")
	for _, versions := range fuzzVersions {
		for _, action := range []policy.Action{policy.ActionAllow, policy.ActionDeny} {
			p, err := policy.Parse("p",
				fmt.Appendf(nil,
					"version: 1\ndefault: %s\nfrontends: [{match: [docker/x], versions: %q, variants: [labs], action: %s}]\n",
					map[policy.Action]string{policy.ActionAllow: "deny", policy.ActionDeny: "allow"}[action],
					versions, action))
			require.NoError(t, err)
			layers, err := policy.Stack(p, nil)
			require.NoError(t, err)
			e := newExporter(p, Options{Time: at()})
			r := &p.Document().Frontends[0]
			list, ok := e.allowTags(r)
			if action == policy.ActionDeny {
				list, ok = e.denyTags(r), true
			}
			require.True(t, ok)
			if len(list) == 0 {
				list = []string{starTag}
			}
			re := regexp.MustCompile("^" + anyOf(list) + "$")
			exact := 0
			for _, tag := range tags {
				ref, err := imageref.Parse("docker/x:" + tag)
				require.NoError(t, err)
				takes := policy.Decide(layers, policy.Request{Reference: ref}).Rule == r.Name
				if action == policy.ActionAllow {
					require.False(t, re.MatchString(tag) && !takes, "%s allows %s, the policy doesn't", versions,
						tag)
				} else {
					require.False(t, !re.MatchString(tag) && takes, "%s denies %s, the export doesn't", versions,
						tag)
				}
				if re.MatchString(tag) && takes {
					exact++
				}
			}
			require.NotZero(t, exact, "%s says nothing", versions)
		}
	}
}

// Releases that the policy takes are not lost, whether full, partial or a variant.
func TestVersionsAreNotTighterThanTheyAre(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{
		"1": false, "1.4": true, "1.5": true, "2": false,
		"1.5.0": true, "v1.99.7": true, "1.10-labs": true, "1.10.3-labs": true, "1.3.9": false,
		"2.0.0": false,
	} {
		p, err := policy.Parse("p",
			[]byte(
				`{"version": 1, "frontends": [{"match": ["docker/x"], "versions": ">=1.4.0 <2.0.0", "variants": ["labs"]}]}`))
		require.NoError(t, err)
		e := newExporter(p, Options{})
		list, ok := e.allowTags(&p.Document().Frontends[0])
		require.True(t, ok)
		require.Equal(t, want, whollyMatches(t, anyOf(list), tag), tag)
	}
}

// A name is in the narrow form only if it is in the pattern, and in the wide form if it
// is.
func TestNamesAsRegularExpressions(t *testing.T) {
	t.Parallel()
	names := []string{
		"docker.io/docker/dockerfile", "docker.io/docker/dockerfile-evil",
		"docker.io/docker/dockerfile/evil", "dockerXio/docker/dockerfile", "a.corp:5000/x/y", "a.corp/x",
		"corp/x.y", "localhost:5000/dockerfile", "a.example/x/y/z/dockerfile",
	}
	for _, n := range fuzzNames {
		ref, err := imageref.Parse(n)
		require.NoError(t, err)
		names = append(names, ref.Name())
	}
	for _, written := range append(
		[]string{"localhost:5000/**", "a*.corp/*", "*.corp:5000/x/*", "a.example/**/z/*", "**/x/**"},
		fuzzPatterns...) {
		p, err := policy.Parse("p",
			fmt.Appendf(nil, `{"version": 1, "frontends": [{"match": [%q]}]}`, written))
		require.NoError(t, err)
		pattern := p.Document().Frontends[0].Patterns()[0]
		for _, n := range names {
			in := globs.ParseName(pattern).Covers(globs.ParseName(n))
			require.False(t, whollyMatches(t, nameRegex(pattern, false), n) && !in, "%s has %s", pattern, n)
			require.False(t, !whollyMatches(t, nameRegex(pattern, true), n) && in, "%s lacks %s", pattern, n)
		}
	}
}

// The exported tags of a deny rule, and the exported exceptTags of an allow rule, are at least all
// that the policy reads in them.
func TestReadingsAsRegularExpressions(t *testing.T) {
	t.Parallel()
	var tags []string
	for _, v := range []string{
		"1", "1.5", "1.5.0", "1.5.7", "1.50", "1.10.3", "2", "2026.1", "2026.1.5", "1.7.0-rc1", "1.5.0.2",
		"1.7.0-labs", "3.0.1", "10",
	} {
		numbers, suffix, _ := strings.Cut(v, "-")
		zeros := strings.ReplaceAll(numbers, ".", ".0") + strings.TrimSuffix("-"+suffix, "-")
		tags = append(tags, v, "v"+v, "V"+v, "0"+v, "v00"+zeros, zeros, strings.ToUpper(v))
	}
	tags = append(tags, "latest", "LATEST", "labs", "v", "vlatest")
	for _, glob := range []string{
		"1.5.0", "1.5", "2026.01", "v1.5.0", "1.*", "1.5*", "v1.5.*", "1.*.0", "*.0", "*", "*-labs",
		"*.0-rc1", "1.*-rc1", "1.7.0-rc1", "latest", "v*", "LATEST", "1.5.0-*", "*5*", "1.5.0.2", "01.*",
	} {
		deny := policyOf(t, "default: allow\nfrontends: [{name: a, match: [docker/x], tags: [\""+glob+
			"\"], action: deny, variants: [labs]}]")
		except := policyOf(t, "frontends: [{name: a, match: [docker/x], exceptTags: [\""+glob+
			"\"], variants: [labs]}]")
		e := newExporter(deny, Options{Time: at()})
		denied := regexp.MustCompile("^" + anyOf(e.denyTags(&e.doc.Frontends[0])) + "$")
		r := &except.Document().Frontends[0]
		excepted := regexp.MustCompile("^" + anyOf(exceptRegexes(r)) + "$")
		for _, tag := range tags {
			require.True(t, !e.doc.Frontends[0].MatchesTag(tag) || denied.MatchString(tag),
				"%s denies %s", glob, tag)
			require.True(t, r.MatchesTag(tag) || excepted.MatchString(tag), "%s excepts %s", glob, tag)
		}
	}
	e := newExporter(policyOf(t, "frontends: [{match: [docker/x], tags: [\"1.5.0\"], action: deny}]"), Options{})
	denied := regexp.MustCompile("^" + anyOf(e.denyTags(&e.doc.Frontends[0])) + "$")
	for _, tag := range []string{"1.5.1", "1.6", "2", "1.5.0-x", "latest", "15"} {
		require.False(t, denied.MatchString(tag), tag)
	}
}

func policyOf(t *testing.T, fields string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("p", []byte("version: 1\n"+fields+"\n"))
	require.NoError(t, err)
	return p
}
