package diff

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// side is one of the two policies.
type side struct {
	policy.Document
	layers  policy.Layers
	written []string // the deciding fields of each rule as text, for comparison
	aliases []alias
	limits  []globs.Name
	exact   map[string][]int // rules by their patterns without a star
	open    []openPattern    // the others
}

type alias struct {
	*policy.Alias
	from, to globs.Name
}

type openPattern struct {
	names globs.Name
	rule  int
}

// set is a set of names that a rule matches, or all names for the case that no rule matches.
type set struct {
	names   globs.Name
	pattern string // as written in the rule
	changed bool   // whether the answers for it may differ
}

func newSide(p *policy.Policy) *side {
	s := &side{Document: p.Document(), exact: map[string][]int{}}
	// Stack fails only for policies that package policy didn't make. The zero layers then
	// refuse everything.
	s.layers, _ = policy.Stack(p, nil)
	for _, l := range s.Limits.Patterns() {
		s.limits = append(s.limits, globs.ParseImage(l))
	}
	for i := range s.Aliases {
		from, to := s.Aliases[i].Names()
		s.aliases = append(s.aliases, alias{&s.Aliases[i], globs.ParseImage(from), globs.ParseImage(to)})
	}
	for i := range s.Frontends {
		s.written = append(s.written, written(&s.Frontends[i]))
		for _, pattern := range s.Frontends[i].Patterns() {
			if globs.Open(pattern) {
				s.open = append(s.open, openPattern{globs.ParseImage(pattern), i})
			} else {
				s.exact[pattern] = append(s.exact[pattern], i)
			}
		}
	}
	return s
}

// builtin reports whether some frontends run as the built-in one.
func (s *side) builtin() bool {
	return s.Dispatch == policy.DispatchBuiltin || slices.ContainsFunc(s.Frontends,
		func(r policy.Rule) bool { return r.Dispatch == policy.DispatchBuiltin })
}

// rules returns the rules that match a name, which the aliases have already rewritten.
func (s *side) rules(name string) []*policy.Rule {
	found := slices.Clone(s.exact[name])
	n := globs.ParseImage(name)
	for _, o := range s.open {
		if o.names.Covers(n) {
			found = append(found, o.rule)
		}
	}
	slices.Sort(found)
	var out []*policy.Rule
	for _, i := range slices.Compact(found) {
		out = append(out, &s.Frontends[i])
	}
	return out
}

// sets returns the sets of names for sample requests: those of each rule's patterns within the
// limits, and all names. Each is also there in the form before the aliases. It is false if the
// list isn't complete.
func (s *side) sets(changed func(i int) bool, all bool) ([]set, bool) {
	complete := true
	var out []set
	add := func(pattern string, changed bool) {
		written := globs.ParseImage(pattern)
		limited := []globs.Name{written}
		for _, l := range s.limits {
			// The other policy may allow names that the limits refuse.
			forms, ok := written.Meet(l)
			complete = complete && ok
			limited = append(limited, forms...)
		}
		for _, n := range limited {
			out = append(out, set{n, pattern, changed})
			for _, a := range s.aliases {
				before, ok := a.before(n)
				complete = complete && ok
				for _, m := range before {
					out = append(out, set{m, pattern, changed})
				}
			}
		}
	}
	for i := range s.Frontends {
		for _, p := range s.Frontends[i].Patterns() {
			add(p, changed(i))
		}
	}
	add("**", all)
	for i, a := range s.aliases {
		out = append(out, set{a.from, s.Aliases[i].From, all})
	}
	return out, complete
}

// before returns the names that the alias turns into one of n.
func (a alias) before(n globs.Name) ([]globs.Name, bool) {
	forms, ok := n.Meet(a.to)
	from, to := a.from, a.to
	if a.to.Open() { // Both end in "*", "**" for the rest, which the alias keeps.
		from, to = from[:len(from)-2], to[:len(to)-2]
	}
	var out []globs.Name
	for _, f := range forms {
		if len(f) >= len(to) {
			out = append(out, slices.Concat(from, f[len(to):]))
		}
	}
	return out, ok
}

// texts returns all globs of the policy, from which the fresh text must differ.
func (s *side) texts() []string {
	var out []string
	for i := range s.Frontends {
		r := &s.Frontends[i]
		out = append(out, r.Patterns()...)
		out = slices.Concat(out, r.Tags, r.ExceptTags, r.Options.Deny, r.Options.Strip, r.Options.Only,
			r.Platforms)
		for k := range r.Options.Force {
			out = append(out, k)
		}
		if r.Build != nil {
			out = append(out, r.Build.Globs()...)
		}
	}
	if s.Build != nil {
		out = append(out, s.Build.Globs()...)
	}
	for _, a := range s.aliases {
		out = append(out, a.from.String(), a.to.String())
	}
	return append(out, s.Limits.Patterns()...)
}

// depth returns the number of components of the longest pattern.
func (s *side) depth() int {
	n := 0
	for _, t := range s.texts() {
		n = max(n, strings.Count(t, "/")+1)
	}
	return n
}

// written returns a rule as text, without the fields that are only shown to people.
func written(r *policy.Rule) string {
	bare := *r
	bare.Message, bare.Contact = "", ""
	return marshal(bare)
}

// marshal returns a parsed value as text, for comparison.
func marshal(v any) string {
	data, err := yaml.Marshal(v)
	if err != nil {
		return "" // The rule then counts as changed.
	}
	return string(data)
}
