package buildrules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// notRunnable and setUser tell what to do about the refusal of a result that may not be an image at
// all.
const (
	notRunnable = "if this result is no image that runs, such as exported files, the policy can leave " +
		"it out with results: runnable or exceptTargets in build.config"
	setUser = "; or set a USER in the build file"
)

// plainTarget matches a target that every frontend reads as this one name. A Dockerfile's stage
// begins with a letter (frontend/dockerfile/instructions, validStageName). Other frontends take
// paths, and some take numbers or lists.
var plainTarget = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$`)

// plainTargets matches a glob for such targets.
var plainTargets = regexp.MustCompile(
	`^[A-Za-z*][A-Za-z0-9_.*-]*(/[A-Za-z0-9_*-][A-Za-z0-9_.*-]*)*$`)

// certainTarget returns the target in lower case, or "" if it isn't certain which one it is: the
// build names none, or frontends may read it differently.
func certainTarget(target string) string {
	if len(target) > imageref.MaxSize || !plainTarget.MatchString(target) {
		return ""
	}
	return strings.ToLower(target)
}

// compileTargets returns a check that also adds the entry to a list.
func compileTargets(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, strings.ToLower(s))
		if !plainTargets.MatchString(s) {
			return fmt.Errorf("%s can't be the name of a target; write one such as release or prod-*",
				safetext.Quote(s))
		}
		return checkGlob(s)
	}
}

// All returns the sets of conditions: that of the rules' own fields, if they have one, and those of
// the list. The caller must not change them.
func (r *ConfigRules) All() []*ConfigSet {
	own := &r.ConfigSet
	if own.isEmpty() {
		return r.Sets
	}
	return append([]*ConfigSet{own}, r.Sets...)
}

// isEmpty reports whether the set has no conditions.
func (s *ConfigSet) isEmpty() bool {
	return s.User == nil && s.Labels == nil && s.Env == nil && s.Ports == nil && s.Volumes == nil
}

// isFor reports whether the conditions are for a result. In doubt they are.
func (s *ConfigSet) isFor(c config) bool {
	return s.missed(c) == ""
}

// missed says why the conditions are not for a result; "" if they are. It completes "it is ".
func (s *ConfigSet) missed(c config) string {
	switch {
	case c.target != "" && len(s.targets) > 0 && globs.First(s.targets, c.target) == "":
		return "for other targets than " + c.target
	case c.target != "" && globs.First(s.exceptTargets, c.target) != "":
		return "not for the target " + c.target
	case s.Results == ResultsRunnable && !c.runnable:
		return "for results that have an entrypoint or a command"
	}
	return ""
}

// IsScoped reports whether the conditions may not be for all results.
func (s *ConfigSet) IsScoped() bool {
	return len(s.Targets)+len(s.ExceptTargets) > 0 || s.Results == ResultsRunnable
}

// SameScope reports whether the conditions of both sets are written for the same results.
func (s *ConfigSet) SameScope(o *ConfigSet) bool {
	return slices.Equal(s.targets, o.targets) && slices.Equal(s.exceptTargets, o.exceptTargets) &&
		(s.Results == ResultsRunnable) == (o.Results == ResultsRunnable)
}

// Unscoped returns the same conditions for all results.
func (s *ConfigSet) Unscoped() *ConfigSet {
	c := *s
	c.Targets, c.ExceptTargets, c.Results = nil, nil, ""
	c.targets, c.exceptTargets = nil, nil
	return &c
}

// Plus returns a set that has the conditions of both, for the results that s is for.
func (s *ConfigSet) Plus(o *ConfigSet) *ConfigSet {
	c := *s
	c.User, c.Labels = s.User.underUser(o.User), s.Labels.plus(o.Labels)
	c.Env, c.Ports, c.Volumes = s.Env.plus(o.Env), s.Ports.plus(o.Ports), s.Volumes.plus(o.Volumes)
	return &c
}

// scope describes which results the conditions are for, as documents have it.
func (s *ConfigSet) scope() string {
	var parts []string
	add := func(key string, items []string) {
		if len(items) > 0 {
			parts = append(parts, key+": "+safetext.Printable(strings.Join(items, ", ")))
		}
	}
	add("targets", s.Targets)
	add("exceptTargets", s.ExceptTargets)
	if s.Results != "" {
		add("results", []string{string(s.Results)})
	}
	return strings.Join(parts, "; ")
}

// explain says of each set that isn't for all results whether it is for this one, and of the
// entries of the other sets whether the result has what they name.
func (r *ConfigRules) explain(n Normalized) []Tried {
	var out []Tried
	for _, s := range r.All() {
		if !s.IsScoped() {
			out = append(out, s.explain(n.config)...)
			continue
		}
		t := Tried{Entry: "config: " + s.scope(), Matched: true, Reason: "it is for this result"}
		if missed := s.missed(n.config); missed != "" {
			t.Matched, t.Reason = false, "it is "+missed
		}
		out = append(out, t)
		if t.Matched {
			out = append(out, s.explain(n.config)...)
		}
	}
	return shorten(out, "config")
}
