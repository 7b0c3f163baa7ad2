package imagerules

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// FuzzReadings: the tags that an allow rule matches, a deny rule with the same conditions
// matches too. What a deny rule matches, it matches in other spellings, and in a partial
// version. What an allow rule excepts, it excepts in other spellings.
func FuzzReadings(f *testing.F) {
	for _, s := range [][3]string{
		{"1.5.0", "<1.5", "1.4.9-labs"},
		{"1.*", ">=1.4 <2 || 3.x", "1.4.0"},
		{"*-labs", "<2026.3", "2025.12.01"},
		{"v2.*", "1.7.0-rc1", "1.7.0-rc1"},
		{"latest", ">=1.2.3.4", "1.2.3.4"},
		{"0*1", "*", "0.0.1"},
		{"1", "<=1.7 || ~>2.1", "1.7.5"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, glob, condition, tag string) {
		r, err := versions.Parse(condition)
		if err != nil || imageref.CheckTagGlob(glob) != nil || imageref.CheckTag(tag) != nil {
			t.Skip()
		}
		if strings.Contains(glob, "*") && spelled.MatchString(strings.ToLower(glob)) {
			t.Skip() // It is about a spelling.
		}
		allow := Rule{
			Action: ActionAllow, Tags: []string{glob}, Versions: condition, versions: r,
			Variants: []string{"labs"},
		}
		deny := allow
		deny.Action = ActionDeny
		except := Rule{Action: ActionAllow, ExceptTags: []string{glob}, Variants: []string{"labs"}}
		require.True(t, !allow.MatchesTag(tag) || deny.MatchesTag(tag), "allowed, and not denied")
		for _, form := range readings(tag) {
			require.True(t, !deny.MatchesTag(tag) || deny.MatchesTag(form), "%s gets past", form)
			require.True(t, except.MatchesTag(tag) || !except.MatchesTag(form), "%s isn't excepted", form)
		}
	})
}

// spelled matches globs with leading zeros, or with a "v" that isn't before a number.
var spelled = regexp.MustCompile(`(^|[^0-9])0[0-9*]|.v|^v[^0-9]`)

// readings returns other tags that can be for the same image as a version.
func readings(tag string) []string {
	v, ok := versions.ParseTag(tag)
	if !ok {
		return nil
	}
	written := v.String()
	forms := []string{written, "v" + written, "V" + written, "0" + written}
	numbers, suffix, _ := strings.Cut(written, "-")
	if suffix == "" {
		forms = append(forms, strings.ReplaceAll(numbers, ".", ".0"))
		for i := strings.LastIndexByte(written, '.'); i > 0; i = strings.LastIndexByte(written, '.') {
			written = written[:i]
			forms = append(forms, written)
		}
	}
	return slices.DeleteFunc(forms, func(s string) bool { return imageref.CheckTag(s) != nil })
}
