package lint

import (
	"fmt"
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

func demandsOf(r *buildrules.ConfigSet) []demand {
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

// configSet is a set of conditions, with its name in findings.
type configSet struct {
	*buildrules.ConfigSet

	name string
}

// setsOf returns the sets of conditions of rules.
func setsOf(r *buildrules.ConfigRules) []configSet {
	var out []configSet
	own := len(r.All()) - len(r.Sets) // 1 if the fields beside the list are one
	for i, s := range r.All() {
		name := "build.config"
		if i >= own {
			name += fmt.Sprintf(".sets[%d]", i-own)
		}
		out = append(out, configSet{s, name})
	}
	return out
}

// config looks for conditions on the configuration of an image that cancel each other. Those of a
// rule hold together with those of the whole policy.
func (c *checker) config(b *buildrules.Rules, tell tell) {
	sets := setsOf(b.Config)
	for i, s := range sets {
		s.scope(tell)
		s.lists(tell)
		for j, o := range sets {
			if i != j && o.isForAllOf(s.ConfigSet) && (j < i || !s.isForAllOf(o.ConfigSet)) {
				s.listedBy(o, tell)
			}
		}
		s.users(c.replaced(b, buildrules.KindConfig), tell)
	}
	all := *b
	if c.doc.Build != nil && b != c.doc.Build {
		all = b.Under(c.doc.Build)
	}
	c.byTarget(b, all.Config, tell)
	told := map[string]bool{}
	for _, s := range setsOf(all.Config) {
		s.contradictions(setsOf(all.Config), func(code Code, format string, args ...any) {
			if text := fmt.Sprintf(format, args...); !told[text] {
				told[text] = true
				tell(code, "%s", text)
			}
		})
	}
}

// byTarget looks for conditions that are all for some targets only.
func (c *checker) byTarget(b *buildrules.Rules, all *buildrules.ConfigRules, tell tell) {
	whole := c.doc.Build
	if b != whole && whole != nil && whole.Config != nil {
		return // The whole policy has the finding, or a condition that is for all targets.
	}
	forAll := func(s *buildrules.ConfigSet) bool {
		return len(s.Targets) == 0 || coveredText(s.Targets, "*")
	}
	if !slices.ContainsFunc(all.All(), forAll) {
		tell(ConfigByTarget, "build.config has no condition for other targets than %s, and clients "+
			"choose the target; add a set for all, or use exceptTargets in place of targets",
			strings.Join(all.All()[0].Targets, ", "))
	}
}

// scope looks for targets that a set can't be for.
func (s configSet) scope(tell tell) {
	repeated(s.name+".targets", s.Targets, byGlob(s.Targets, true), tell)
	repeated(s.name+".exceptTargets", s.ExceptTargets, byGlob(s.ExceptTargets, true), tell)
	for _, t := range s.Targets {
		if coveredText(s.ExceptTargets, t) {
			tell(TargetExcepted, "%s.targets has %s, which exceptTargets excepts; remove one of the two",
				s.name, t)
		}
	}
	for _, t := range s.ExceptTargets {
		if len(s.Targets) > 0 && !overlapsText(s.Targets, t) {
			tell(ExceptWithoutEffect, "%s.exceptTargets has %s, which targets doesn't list anyway; "+
				"remove it", s.name, t)
		}
	}
}

// isForAllOf reports whether the conditions are certainly for all results that o is for.
func (s configSet) isForAllOf(o *buildrules.ConfigSet) bool {
	if s.Results == buildrules.ResultsRunnable && o.Results != buildrules.ResultsRunnable {
		return false
	}
	for _, t := range o.Targets {
		if len(s.Targets) > 0 && !coveredText(s.Targets, t) {
			return false
		}
	}
	if len(s.Targets) > 0 && len(o.Targets) == 0 && !coveredText(s.Targets, "*") {
		return false
	}
	return !slices.ContainsFunc(s.ExceptTargets, func(t string) bool {
		apart := len(o.Targets) > 0 && !overlapsText(o.Targets, t)
		return !apart && !coveredText(o.ExceptTargets, t)
	})
}

// coveredText and overlapsText compare globs for targets with a list of them.
func coveredText(list []string, glob string) bool {
	return slices.ContainsFunc(list, func(by string) bool { return coversText(by, glob, true) })
}

func overlapsText(list []string, glob string) bool {
	return slices.ContainsFunc(list, func(o string) bool {
		return globs.Overlaps(globs.FoldASCII(o), globs.FoldASCII(glob))
	})
}

// users looks for forbidden users that aren't among the required ones.
func (s configSet) users(replaced bool, tell tell) {
	u := s.User
	if u == nil || len(u.Require) == 0 || replaced {
		return
	}
	for _, f := range u.Forbid {
		if !slices.ContainsFunc(u.Require, func(r string) bool { return meetUsers(f, r) }) {
			tell(BuildDenyWithoutEffect, "%s.user.forbid has %s, which require doesn't list anyway; remove "+
				"it", s.name, f)
		}
	}
}

// contradictions looks for conditions that cancel each other, in the set and those that are for the
// same results.
func (s configSet) contradictions(sets []configSet, tell tell) {
	all, image := s.Unscoped(), "every image"
	if s.IsScoped() {
		image = "every image for which that is"
	}
	for _, o := range sets {
		if o.ConfigSet != s.ConfigSet && o.isForAllOf(s.ConfigSet) {
			all = all.Plus(o.ConfigSet)
		}
	}
	for _, d := range demandsOf(all) {
		var refused []string
		for _, entry := range d.of.Require {
			if d.forbids(all, entry) {
				refused = append(refused, entry)
			}
		}
		switch {
		case len(refused) == 0:
		case d.field != "user":
			tell(ConfigContradicts, "build.config.%s requires %s, which forbid refuses, so %s is "+
				"refused; remove one of the two", d.field, refused[0], image)
		case len(refused) == len(d.of.Require):
			tell(ConfigContradicts, "build.config.user forbids all users that it requires, so %s "+
				"is refused; remove one of the two", image)
		default:
			tell(EntryRefused, "build.config.user requires %s, which forbid refuses; remove one of the two",
				strings.Join(refused, ", "))
		}
	}
}

// lists looks for entries that others make superfluous.
func (s configSet) lists(tell tell) {
	for _, d := range demandsOf(s.ConfigSet) {
		field := s.name + "." + d.field
		repeated(field+".forbid", d.of.Forbid, d.forbidden(d.of.Forbid), tell)
		repeated(field+".require", d.of.Require, d.required(d.of.Require), tell)
	}
}

// listedBy looks for entries that another set makes superfluous.
func (s configSet) listedBy(o configSet, tell tell) {
	for _, d := range demandsOf(s.ConfigSet) {
		for _, other := range demandsOf(o.ConfigSet) {
			if other.field != d.field || len(d.of.Require)+len(d.of.Forbid) > maxEntries {
				continue
			}
			again := func(list string, own, by []string, covers covering) {
				for j := range own {
					for i := range by {
						if covers(len(own)+i, j) {
							tell(EntryRepeated, "%s.%s.%s has %s, and %s has %s for these results too; remove one of "+
								"them", s.name, d.field, list, own[j], o.name, by[i])
							break
						}
					}
				}
			}
			require := d.of.Require
			if d.field == "labels" {
				require = s.Labels.Require // without those that must have a value
			}
			both := slices.Concat(d.of.Forbid, other.of.Forbid)
			again("forbid", d.of.Forbid, other.of.Forbid, d.forbidden(both))
			if d.field != "user" { // One of the required users is enough, so that both lists matter.
				both = slices.Concat(require, other.of.Require)
				again("require", require, other.of.Require, d.required(both))
			}
		}
	}
}

// forbidden and required say which entries of a list make others superfluous.
func (d demand) forbidden(entries []string) covering {
	switch d.field {
	case "ports":
		return byPort(entries, "*")
	case "user":
		return byUser(entries)
	}
	return byGlob(entries, d.fold)
}

func (d demand) required(entries []string) covering {
	wider := byGlob(entries, false)
	switch d.field {
	case "ports":
		wider = byPort(entries, "tcp")
	case "user":
		return byUser(entries) // One of them is enough.
	}
	return func(i, j int) bool { return wider(j, i) }
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
func (d demand) forbids(s *buildrules.ConfigSet, entry string) bool {
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
	only := buildrules.Rules{Config: &buildrules.ConfigRules{ConfigSet: *s}}
	_, found, _ := only.Check(n) // Only rules on images have errors.
	return slices.ContainsFunc(found, func(v buildrules.Violation) bool {
		return strings.HasPrefix(v.Rule, "config."+d.field+".forbid")
	})
}
