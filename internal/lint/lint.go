// Package lint finds what is valid in a policy but probably not meant.
package lint

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Finding is one thing to look at.
type Finding struct {
	Code Code
	// Rule is the rule's name, or "" for a finding that is about none.
	Rule string
	// File is the document that it is in, as policy.Rule.File names it.
	File string
	// Line and Column are where the rule or alias begins, counted from 1; 0 for a
	// finding about the whole policy.
	Line, Column int
	// Message says what happens and what to write instead.
	Message string
}

// Options say by what a policy is judged.
type Options struct {
	// Time is that of the check, for what expires; at the zero time, nothing has
	// expired.
	Time time.Time
	// Builtin is the version of the Dockerfile frontend behind dispatch: builtin, such
	// as 1.28; while it is empty, nothing is said of versions.
	Builtin string
}

// Check returns the findings of the policy that policy.Parse or policy.Load read
// from the file, about the whole policy first and the others in the order of the
// documents; none if there is nothing to look at.
func Check(file string, p *policy.Policy, o Options) []Finding {
	c := newChecker(file, p, o)
	c.whole()
	c.wholeBuild()
	for i := range p.Aliases {
		c.alias(i)
	}
	for i := range c.rules {
		c.rule(i)
	}
	c.includes()
	files := c.files()
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)), cmp.Compare(a.Line, b.Line))
	})
	return c.found
}

// checker collects the findings of one policy.
type checker struct {
	file    string
	policy  *policy.Policy
	at      time.Time
	builtin string
	rules   []rule
	aliases []alias
	limits  []names
	layers  policy.Layers
	shadows shadows
	found   []Finding
}

func newChecker(file string, p *policy.Policy, o Options) *checker {
	c := &checker{file: file, policy: p, at: o.Time, builtin: o.Builtin, rules: readRules(p), aliases: readAliases(p), limits: parseAll(p.Limits.Patterns())}
	c.shadows = newShadows(c.rules, o.Time)
	// Stack only fails for what package policy didn't make, and the zero layers then
	// refuse everything.
	c.layers, _ = policy.Stack(p, nil)
	return c
}

// files are the documents in the order in which their parts follow each other.
func (c *checker) files() []string {
	files := []string{c.file}
	add := func(file string) {
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for i := range c.policy.Aliases {
		add(c.policy.Aliases[i].File())
	}
	for i := range c.policy.Frontends {
		add(c.policy.Frontends[i].File())
	}
	return files
}

func (c *checker) addf(code Code, format string, args ...any) {
	c.found = append(c.found, Finding{Code: code, File: c.file, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) addRule(code Code, r *policy.Rule, format string, args ...any) {
	c.found = append(c.found, Finding{
		Code: code, Rule: r.Name, File: r.File(), Line: r.Line(), Column: r.Column(), Message: fmt.Sprintf(format, args...),
	})
}

func (c *checker) addAlias(code Code, a *policy.Alias, format string, args ...any) {
	c.found = append(c.found, Finding{
		Code: code, File: a.File(), Line: a.Line(), Column: a.Column(), Message: fmt.Sprintf(format, args...),
	})
}

// whole looks at what is said once for all rules.
func (c *checker) whole() {
	p := c.policy
	if p.Default == policy.ActionAllow {
		c.addf(DefaultAllow, "whatever no rule matches is allowed; leave out default, and allow by rules")
	}
	if p.Mode == policy.ModeWarn {
		c.addf(WarnMode, "no rule refuses a build, they only warn; leave out mode when the warnings are gone")
	}
	if p.ID == "" {
		c.addf(MissingID, "without an id, messages can name the policy only by its digest; write id")
	}
	if p.Contact == "" {
		c.addf(MissingContact, "without a contact, a refused person isn't told whom to ask; write contact")
	}
	if p.DefaultFrontend != "" {
		if reason := c.refused(p.DefaultFrontend); reason != "" {
			c.addf(DefaultFrontendRefused, "builds that name no frontend are refused, because the policy refuses the defaultFrontend %s: %s", p.DefaultFrontend, reason)
		}
	}
}

// refused returns why the policy refuses a frontend that a build asks for without
// a digest, or "" if it doesn't.
func (c *checker) refused(reference string) string {
	ref, err := policy.ParseReference(reference)
	if err != nil {
		return err.Error()
	}
	d := policy.Decide(c.layers, policy.Request{Requested: reference, Reference: ref, Time: c.time()})
	if d.Verdict != policy.Deny {
		return ""
	}
	return d.Reason
}

// time is the time of decisions: for package policy, everything has expired at the
// zero time.
func (c *checker) time() time.Time {
	if c.at.IsZero() {
		return time.Unix(0, 0)
	}
	return c.at
}

// expired reports whether the rule no longer matches.
func (c *checker) expired(r *policy.Rule) bool {
	return !r.ExpiryTime().IsZero() && !c.time().Before(r.ExpiryTime())
}

// includes looks for included files that add nothing. Which file an included one
// includes isn't known: as soon as there are such files, any may be the one.
func (c *checker) includes() {
	direct := map[string]string{}
	for _, name := range c.policy.Include {
		direct[path.Join(path.Dir(c.file), name)] = name
	}
	used := c.files()
	for _, file := range used {
		if file != c.file && direct[file] == "" {
			return
		}
		delete(direct, file)
	}
	for _, name := range slices.Sorted(maps.Values(direct)) {
		c.addf(UnusedInclude, "the included file %s has no rule and no alias; remove it from include", name)
	}
}
