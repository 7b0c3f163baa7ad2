// Package lint finds parts of a policy that are valid but probably unintended.
package lint

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Finding is one problem in a policy.
type Finding struct {
	Code Code
	// Rule is the rule's name, or "" if the finding isn't about a rule.
	Rule string
	// File is the document with the problem, named as by [policy.Rule.File].
	File string
	// Line and Column are where the entry, the field, the rule or the alias begins, counted from 1.
	// Without [Options.Source], they are those of the rule or the alias, and both are 0 for a finding
	// about the whole policy.
	Line, Column int
	// Message says what happens and what to write instead.
	Message string
}

// Options are the circumstances for which a policy is checked.
type Options struct {
	// Time decides which rules have expired. At the zero time, no rule has.
	Time time.Time
	// Source returns the text of one of the policy's files, named as by [policy.Rule.File]. With
	// it, findings have the place of the field or of the entry that they are about, and comments
	// "# lint:ignore CODE REASON" accept findings. It can be nil.
	Source func(file string) ([]byte, error)
}

// Check returns the findings in a policy that [policy.Parse] or [policy.Load] read from
// the file. They are in the order of the documents.
func Check(file string, p *policy.Policy, o Options) []Finding {
	c := newChecker(file, p, o)
	c.whole()
	c.wholeBuild()
	c.results()
	c.administration()
	for i := range c.aliases {
		c.alias(i)
	}
	for i := range c.rules {
		c.rule(i)
	}
	c.allowsNothing()
	c.includes()
	c.sampled(p)
	c.place(o.Source)
	c.ignore(o.Source)
	files := c.files()
	slices.SortStableFunc(c.found, func(a, b located) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		)
	})
	var out []Finding
	for _, f := range c.found {
		out = append(out, f.Finding)
	}
	return out
}

// checker collects the findings of one policy.
type checker struct {
	file    string
	doc     *policy.Document
	at      time.Time
	rules   []rule
	aliases []alias
	from    globs.Index // of the names that aliases replace
	to      globs.Index // of the names that they lead to
	limits  []names
	ported  []*rule // allow rules that name ports
	layers  policy.Layers
	clients []clients.Client // those that stand for all others
	by      string           // the first field that is for some clients; "" for none
	shadows shadows
	found   []located
	opened  bool                        // the whole policy has the finding OpenDoors
	written map[buildrules.Kind]string  // the whole policy's build rules, once they are needed
	denials map[buildrules.Kind]indexed // of the whole policy's build rules, once they are needed
}

func newChecker(file string, p *policy.Policy, o Options) *checker {
	doc := p.Document()
	c := newDocChecker(file, &doc, o.Time)
	// Stack fails only for policies that package policy didn't make. The zero layers then
	// refuse everything.
	c.layers, _ = policy.Stack(p, nil)
	c.clients, _ = diff.Clients(p)
	c.by = p.NamesClients()
	return c
}

// newDocChecker returns a checker of a document's rules. It has no layers.
func newDocChecker(file string, doc *policy.Document, at time.Time) *checker {
	c := &checker{
		file: file, doc: doc, at: at,
		denials: map[buildrules.Kind]indexed{}, written: map[buildrules.Kind]string{},
		rules: readRules(doc), aliases: readAliases(doc), limits: parseAll(doc.Limits.Patterns()),
	}
	c.from = globs.NewIndex(func(yield func(int, string) bool) {
		for i, a := range c.aliases {
			if !yield(i, a.from.String()) {
				return
			}
		}
	})
	c.to = globs.NewIndex(func(yield func(int, string) bool) {
		for i, a := range c.aliases {
			if !yield(i, a.to.String()) {
				return
			}
		}
	})
	c.ported = withPorts(c.rules)
	c.shadows = newShadows(c.rules, at)
	return c
}

// files returns the documents in the order in which their rules follow each other.
func (c *checker) files() []string {
	files := []string{c.file}
	add := func(file string) {
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for i := range c.doc.Aliases {
		add(c.doc.Aliases[i].File())
	}
	for i := range c.doc.Frontends {
		add(c.doc.Frontends[i].File())
	}
	return files
}

func (c *checker) addf(code Code, format string, args ...any) {
	c.add(Finding{Code: code, File: c.file, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) addRule(code Code, r *policy.Rule, format string, args ...any) {
	c.add(Finding{
		Code: code, Rule: r.Name, File: r.File(), Line: r.Line(), Column: r.Column(),
		Message: fmt.Sprintf(format, args...),
	})
}

func (c *checker) addAlias(code Code, a *policy.Alias, format string, args ...any) {
	c.add(Finding{
		Code: code, File: a.File(), Line: a.Line(), Column: a.Column(),
		Message: fmt.Sprintf(format, args...),
	})
}

func (c *checker) add(f Finding) { c.found = append(c.found, located{f, f.Message, f.Line, false}) }

// whole checks the fields that apply to all rules.
func (c *checker) whole() {
	p := c.doc
	if p.Default == policy.ActionAllow {
		c.addf(DefaultAllow, "a frontend that no rule matches is allowed; remove default, and allow "+
			"frontends by rules")
	}
	if p.LLB.AllowsSome() {
		c.addf(NeedsGuard, unseen, "llb")
	}
	if p.Debug == policy.ActionAllow {
		c.addf(NeedsGuard, unseen, "debug")
	}
	if slices.ContainsFunc(c.clients, func(by clients.Client) bool {
		d := c.layers.For(by).LLB(c.time())
		return d.Verdict.Permits() && len(d.Obligations.Build) == 0
	}) {
		c.addf(LLBUnjudged, "clients of policy-guard can build whatever they like, because llb is allow "+
			"and there are no build rules; write a build for the whole policy")
	}
	if c.by != "" {
		c.addf(NeedsGuard, "%s is for some clients, so the gateway image alone refuses every build, "+
			"because only policy-guard knows who builds; run builds through policy-guard", c.by)
	}
	if p.Mode == policy.ModeWarn {
		c.addf(WarnMode, "rules only warn and refuse no build; remove mode when the warnings are gone")
	}
	if p.ID == "" {
		c.addf(MissingID, "without an id, messages can name the policy only by its digest; add an id")
	}
	if p.Contact == "" {
		c.addf(MissingContact, "without a contact, a refused user isn't told whom to ask; add a contact")
	}
	repeated("limits.match", p.Limits.Patterns(), byName(p.Limits.Patterns()), c.addf)
	if p.DefaultFrontend != "" {
		if reason := c.refused(p.DefaultFrontend); reason != "" {
			c.addf(DefaultFrontendRefused, "builds that name no frontend are refused, because the "+
				"policy refuses the defaultFrontend %s: %s", p.DefaultFrontend, reason)
		}
	}
}

// refused returns why the policy refuses a frontend that a build of any client requests without a
// digest, or "" if it doesn't.
func (c *checker) refused(reference string) string {
	ref, err := imageref.Parse(reference)
	if err != nil {
		return err.Error()
	}
	r := policy.Request{Requested: reference, Reference: ref, Time: c.time()}
	reason := ""
	for _, by := range c.clients {
		d := policy.Decide(c.layers.For(by), r)
		if d.Verdict != policy.Deny {
			return ""
		}
		reason = d.Reason
	}
	return reason
}

// time returns the time for decisions. For package policy, every allow rule with an
// expiry has expired at the zero time.
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

// includes looks for included files that add nothing. It gives up if included files
// include others: a policy doesn't say which file includes which.
func (c *checker) includes() {
	direct := map[string]string{}
	for _, name := range c.doc.Include {
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
		c.addf(UnusedInclude, "the included file %s has no rule and no alias; remove it from include",
			name)
	}
}
