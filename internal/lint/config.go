package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// demand is one list of conditions on the configuration of an image.
type demand struct {
	field string
	of    *buildrules.Demand
	fold  bool // whether letter case doesn't matter in forbid
}

func demandsOf(r *buildrules.ConfigRules) []demand {
	out := []demand{
		{"user", r.User, false},
		{"env", r.Env, true},
		{"ports", r.Ports, true},
		{"volumes", r.Volumes, false},
	}
	if r.Labels != nil {
		labels := r.Labels.Demand
		for key := range r.Labels.Values {
			labels.Require = append(slices.Clone(labels.Require), key)
		}
		slices.Sort(labels.Require)
		out = append(out, demand{"labels", &labels, true})
	}
	return slices.DeleteFunc(out, func(d demand) bool { return d.of == nil })
}

// config looks for conditions on the configuration of an image that cancel each other. Those of a
// rule hold together with those of the whole policy.
func (c *checker) config(b *buildrules.Rules, tell tell) {
	c.lists(b.Config, tell)
	all := *b
	if c.doc.Build != nil && b != c.doc.Build {
		all = b.Under(c.doc.Build)
	}
	if u := b.Config.User; u != nil && len(u.Require) > 0 && !c.replaced(b, buildrules.KindConfig) {
		for _, f := range u.Forbid {
			if !slices.ContainsFunc(u.Require, func(r string) bool { return meetUsers(f, r) }) {
				tell(BuildDenyWithoutEffect, "build.config.user.forbid has %s, which require doesn't list "+
					"anyway; remove it", f)
			}
		}
	}
	for _, d := range demandsOf(all.Config) {
		var refused []string
		for _, entry := range d.of.Require {
			if d.forbids(all.Config, entry) {
				refused = append(refused, entry)
			}
		}
		switch {
		case len(refused) == 0:
		case d.field != "user":
			tell(ConfigContradicts, "build.config.%s requires %s, which forbid refuses, so every image is "+
				"refused; remove one of the two", d.field, refused[0])
		case len(refused) == len(d.of.Require):
			tell(ConfigContradicts, "build.config.user forbids all users that it requires, so every image "+
				"is refused; remove one of the two")
		default:
			tell(EntryRefused, "build.config.user requires %s, which forbid refuses; remove one of the two",
				strings.Join(refused, ", "))
		}
	}
}

// lists looks for entries that others make superfluous.
func (c *checker) lists(r *buildrules.ConfigRules, tell tell) {
	for _, d := range demandsOf(r) {
		field := "build.config." + d.field
		if d.field == "ports" {
			require, forbid := byPort(d.of.Require, "tcp"), byPort(d.of.Forbid, "*")
			repeated(field+".forbid", d.of.Forbid, forbid, tell)
			repeated(field+".require", d.of.Require, func(i, j int) bool { return require(j, i) }, tell)
			continue
		}
		if d.field == "user" {
			repeated(field+".forbid", d.of.Forbid, byUser(d.of.Forbid), tell)
			repeated(field+".require", d.of.Require, byUser(d.of.Require), tell)
			continue
		}
		repeated(field+".forbid", d.of.Forbid, byGlob(d.of.Forbid, d.fold), tell)
		wider := byGlob(d.of.Require, false)
		repeated(field+".require", d.of.Require, func(i, j int) bool { return wider(j, i) }, tell)
	}
}

// byUser compares users. It misses ranges in globs.
func byUser(entries []string) covering {
	return func(i, j int) bool { return coversNumber(entries[i], entries[j]) }
}

// byPort compares ports. One without a protocol has the given one.
func byPort(entries []string, protocol string) covering {
	return func(i, j int) bool {
		big, bigOf, ok := strings.Cut(strings.ToLower(entries[i]), "/")
		if !ok {
			bigOf = protocol
		}
		small, smallOf, ok := strings.Cut(strings.ToLower(entries[j]), "/")
		if !ok {
			smallOf = protocol
		}
		return globs.Covers(bigOf, smallOf) && coversNumber(big, small)
	}
}

// coversNumber reports whether one range, number or glob has all numbers of another. It misses
// ranges in globs.
func coversNumber(big, small string) bool {
	if !isRange(big) && !isRange(small) {
		return globs.Covers(big, small)
	}
	from, to := ends(big)
	low, high := ends(small)
	return big == "*" || from > 0 && low > 0 && from <= low && high <= to
}

// ends returns the ends of a range or of a number; zeros for a glob.
func ends(entry string) (from, to int) {
	low, high, ok := strings.Cut(entry, "-")
	if !ok {
		high = low
	}
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	if errFrom != nil || errTo != nil {
		return 0, 0
	}
	return from, to
}

func isRange(entry string) bool {
	from, to, ok := strings.Cut(entry, "-")
	return ok && from != "" && to != "" && strings.Trim(from+to, "0123456789") == ""
}

// meetUsers reports whether some user may be in both entries.
func meetUsers(a, b string) bool {
	if isRange(a) == isRange(b) && !isRange(a) {
		return slices.ContainsFunc(spellings(a), func(x string) bool {
			return slices.ContainsFunc(spellings(b), func(y string) bool { return globs.Overlaps(x, y) })
		})
	}
	// A name isn't in a range.
	named := func(s string) bool { return strings.Trim(s, "0123456789-*") != "" }
	return !named(a) && !named(b)
}

// spellings returns the names of root for one of them, and else the user.
func spellings(user string) []string {
	if user == "root" || strings.Trim(user, "0") == "" {
		return []string{"root", "0", ""}
	}
	return []string{user}
}

// forbids reports whether every value of a required entry is forbidden. It misses some globs and
// ranges.
func (d demand) forbids(r *buildrules.ConfigRules, entry string) bool {
	switch {
	case isRange(entry):
		return slices.Contains(d.of.Forbid, entry)
	case strings.Contains(entry, "*"):
		return d.field != "ports" && slices.ContainsFunc(d.of.Forbid, func(f string) bool {
			return !isRange(f) && coversText(f, entry, d.fold)
		})
	}
	var f buildrules.Config
	switch d.field {
	case "user":
		f.User = entry
	case "env":
		f.Env = []string{entry}
	case "ports":
		f.Ports = []string{entry}
	case "volumes":
		f.Volumes = []string{entry}
	case "labels":
		f.Labels = map[string]string{entry: ""}
	}
	n, err := buildrules.Operation{Config: &f}.Normalize(buildrules.KindConfig)
	if err != nil {
		return false
	}
	only := buildrules.Rules{Config: r}
	_, found, _ := only.Check(n) // Only rules on images have errors.
	return slices.ContainsFunc(found, func(v buildrules.Violation) bool {
		return strings.HasPrefix(v.Rule, "config."+d.field+".forbid")
	})
}
