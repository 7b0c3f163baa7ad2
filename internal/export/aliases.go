package export

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// converts writes the aliases, and returns the patterns of names that have to be
// refused because theirs can't be written.
//
// BuildKit applies conversions until none changes anything, whereas aliases run
// once: an alias whose result another conversion would change can't be written. What
// stands behind it in the list isn't either, since it could catch its names.
func (e *exporter) converts() (out []sourceRule, refused []string) {
	if len(e.policy.Aliases) > 0 {
		e.note(nil, Different, "aliases and pins act on base images of those names too")
	}
	for i := range e.policy.Aliases {
		a := &e.policy.Aliases[i]
		from, _ := a.Names()
		switch {
		case e.shadowed(i):
		case len(refused) > 0:
			e.refusesAlias(a, "the alias comes after one that is left out; what it is for is refused")
			refused = append(refused, from)
		case e.chained(i):
			e.refusesAlias(a, "the alias is left out, because another conversion would change what it makes again; what it is for is refused")
			refused = append(refused, from)
		default:
			out = append(out, conversions(a)...)
		}
	}
	return out, refused
}

// conversions writes one alias: its pinned tags, then the name.
func conversions(a *policy.Alias) []sourceRule {
	from, to := a.Names()
	var out []sourceRule
	for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
		out = append(out, sourceRule{
			Action:   "CONVERT",
			Selector: selector{Identifier: imageScheme + from + ":" + tag, MatchType: "EXACT"},
			Updates:  &sourceUpdate{imageScheme + to + ":" + tag + "@" + a.Pins[tag]},
		})
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
		Action:   "CONVERT",
		Selector: selector{Identifier: "^" + imageScheme + regexp.QuoteMeta(identifier) + "(" + rest + ")$", MatchType: "REGEX"},
		Updates:  &sourceUpdate{imageScheme + to + "${1}"},
	})
}

// shadowed reports whether earlier aliases catch all that the alias is for.
func (e *exporter) shadowed(i int) bool {
	from, _ := e.policy.Aliases[i].Names()
	return slices.ContainsFunc(e.policy.Aliases[:i], func(a policy.Alias) bool {
		earlier, _ := a.Names()
		return globs.ParseName(earlier).Covers(globs.ParseName(from))
	})
}

// chained reports whether a conversion would change what the alias makes.
func (e *exporter) chained(i int) bool {
	a := &e.policy.Aliases[i]
	from, to := a.Names()
	for j := range e.policy.Aliases {
		other := &e.policy.Aliases[j]
		otherFrom, _ := other.Names()
		switch {
		case !globs.ParseName(otherFrom).Overlaps(globs.ParseName(to)):
		case i == j && from == to:
		case identity(other) && samePins(a.Pins, other.Pins):
		default:
			return true
		}
	}
	return false
}

// samePins reports whether the alias pins all tags that the other one does, likewise.
func samePins(pins, other map[string]string) bool {
	for tag, d := range other {
		if pins[tag] != d {
			return false
		}
	}
	return true
}
