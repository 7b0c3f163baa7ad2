package export

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// converts writes the aliases as conversions. refused are patterns for the names whose
// aliases can't be written; the export has to refuse these names.
//
// BuildKit applies conversions until nothing changes, but aliases apply once. So an alias
// can't be written if another conversion would change its result. The aliases after it
// are omitted too, since they could match its names.
func (e *exporter) converts() (out []sourceRule, refused []string) {
	if len(e.doc.Aliases) > 0 {
		e.note(nil, Different, "aliases and pins also apply to base images with these names")
	}
	for i := range e.doc.Aliases {
		a := &e.doc.Aliases[i]
		from, _ := a.Names()
		switch {
		case e.shadowed(i):
		case len(refused) > 0:
			e.refusesAlias(a, "the alias comes after one that is omitted; its names are refused")
			refused = append(refused, from)
		case e.chained(i):
			e.refusesAlias(a, "the alias is omitted, because another conversion would change its result; "+
				"its names are refused")
			refused = append(refused, from)
		default:
			out = append(out, conversions(a)...)
		}
	}
	return out, refused
}

// conversions writes one alias: first its pinned tags, then the name.
func conversions(a *policy.Alias) []sourceRule {
	from, to := a.Names()
	var out []sourceRule
	for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
		out = append(out, pinConversion(from+":"+tag, to+":"+tag+"@"+a.Pins[tag]))
	}
	if from == to {
		return out
	}
	identifier, rest := from, anyTag+anyDigest
	if folder, ok := strings.CutSuffix(from, "**"); ok {
		identifier, rest = folder, `[^/:@]+(?:/[^/:@]+)*`+rest
		to = strings.TrimSuffix(to, "**")
	}
	return append(out, sourceRule{
		Action: "CONVERT",
		Selector: selector{
			Identifier: "^" + imageScheme + regexp.QuoteMeta(identifier) + "(" + rest + ")$",
			MatchType:  "REGEX",
		},
		Updates: &sourceUpdate{imageScheme + to + "${1}"},
	})
}

// shadowed reports whether an earlier alias matches all names of the alias.
func (e *exporter) shadowed(i int) bool {
	from, _ := e.doc.Aliases[i].Names()
	return slices.ContainsFunc(e.doc.Aliases[:i], func(a policy.Alias) bool {
		earlier, _ := a.Names()
		return globs.ParseImage(earlier).Covers(globs.ParseImage(from))
	})
}

// chained reports whether another conversion would change the result of the alias.
func (e *exporter) chained(i int) bool {
	a := &e.doc.Aliases[i]
	from, to := a.Names()
	for j := range e.doc.Aliases {
		other := &e.doc.Aliases[j]
		otherFrom, _ := other.Names()
		switch {
		case !globs.ParseImage(otherFrom).Overlaps(globs.ParseImage(to)):
		case i == j && from == to:
		case identity(other) && samePins(a.Pins, other.Pins):
		default:
			return true
		}
	}
	return false
}

// samePins reports whether pins has all entries of other.
func samePins(pins, other map[string]string) bool {
	for tag, d := range other {
		if pins[tag] != d {
			return false
		}
	}
	return true
}
