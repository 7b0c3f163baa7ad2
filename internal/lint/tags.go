package lint

import (
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// readings looks for conditions on tags that people read in another way than the rule.
func readings(r *imagerules.Rule, tell tell) {
	allows := r.Action != policy.ActionDeny
	if condition, err := versions.Parse(r.Versions); err == nil {
		least, most := condition.Words(versions.Least), condition.Words(versions.Most)
		if least != "" {
			taken := "denies all of the second"
			if allows {
				taken = "allows only the first"
			}
			tell(PartialBound, "versions %s can mean %s or %s, and the rule %s; write the one that you mean",
				r.Versions, least, most, taken)
		}
	}
	field, list := "tags", r.Tags
	if allows {
		field, list = "exceptTags", r.ExceptTags
	}
	for _, glob := range list {
		padded, plain := paddedExample(glob)
		if padded != "" && r.MatchesTag(padded) != allows && r.MatchesTag(plain) == allows {
			tell(ZeroPaddedTag, "%s has %s, which matches %s and not %s, although these are the same "+
				"version; use a range in versions", field, glob, padded, plain)
		}
	}
}

// aDate is a tag that is a date, as those of nightly builds are. It is also a version, and later
// than each that a range with an upper end has.
const aDate = "20991231"

// openRange looks for a range that also has dates and numbers of builds.
func openRange(r *imagerules.Rule, tell tell) {
	condition, err := versions.Parse(r.Versions)
	if r.Action == policy.ActionDeny || len(r.Digests) > 0 || r.Versions == "" || err != nil ||
		condition.IsAny() || !r.MatchesTag(aDate) {
		return
	}
	tell(OpenRange, "versions %s has no upper end, so it has every later version, and tags that are dates "+
		"or numbers of builds, such as %s; write an end such as <2, or <10000 for years",
		r.Versions, aDate)
}

// firstYear is the least number that is taken for a year. A 0 right before a star is commonly that
// of a month behind a year.
const firstYear = 1900

// paddedExample returns a tag for a glob in which a number begins with 0, and the same version
// without such zeros. Both are "" if the glob has no such number.
func paddedExample(glob string) (padded, plain string) {
	literal, _, open := strings.Cut(glob, "*")
	if !open {
		return "", ""
	}
	fill := ""
	if strings.HasSuffix(literal, ".") {
		fill = "1"
	} else if whole, isMonth := strings.CutSuffix(literal, ".0"); isMonth {
		if year, ok := versions.ParseTag(whole); !ok || year.First() < firstYear {
			return "", ""
		}
		fill = "1"
	}
	padded = globs.Example(glob, fill)
	v, ok := versions.ParseTag(padded)
	if !ok || strings.TrimLeft(padded, "vV") == v.String() {
		return "", ""
	}
	return padded, v.String()
}
