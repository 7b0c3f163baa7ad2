package policytest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Files reads the files that a suite names. The names are relative to the suite's directory.
type Files interface {
	// Policy reads a policy and the files that it includes.
	Policy(name string) (*policy.Policy, error)
	// Overlay reads an overlay.
	Overlay(name string) (*policy.Policy, error)
	// Judge returns the answers to what a file with operations asks for, without those that are
	// simply allowed. The name of the file is local, as [io/fs.ValidPath] says.
	Judge(q Question) ([]opcheck.Answer, error)
}

// Question is a file with operations, and what decides on them.
type Question struct {
	File    BuildFile
	Request policy.Request
	// Decision is about the frontend.
	Decision policy.Decision
	Layers   policy.Layers
	// OwnLLB says that no frontend made the operations.
	OwnLLB bool
	// Policies are those of the layers.
	Policies []*policy.Policy
}

// Result is the result of one case.
type Result struct {
	Case Case
	// Failures describe how the answer differs from the expected one. It is empty if the case
	// passed.
	Failures []string
	// Decision is the policy's answer.
	Decision policy.Decision
	// Build has the answers to the case's operations, and to its wishes.
	Build []opcheck.Answer
	// Rule is the name of the rule that decides in the tested policy, whatever the overlay
	// decides. It can be [policy.DefaultRule].
	Rule string
}

// Run evaluates the cases whose name is selected. The error says that a policy or an overlay
// can't be used; there are no results then.
func (s *Suite) Run(files Files, selected func(name string) bool) ([]Result, error) {
	embedded, err := files.Policy(s.Policy)
	if err != nil {
		return nil, err
	}
	r := runner{suite: s, files: files, embedded: embedded, overlays: map[Overlay]*policy.Policy{}}
	var results []Result
	for _, c := range s.Cases {
		if !selected(c.Name) {
			continue
		}
		layers, err := r.layers(c)
		if err != nil {
			return nil, err
		}
		res, err := r.ask(layers, c)
		if err != nil {
			return nil, err
		}
		results = append(results, res)
	}
	return results, nil
}

type runner struct {
	suite    *Suite
	files    Files
	embedded *policy.Policy
	overlays map[Overlay]*policy.Policy // each read once
}

func (r *runner) layers(c Case) (policy.Layers, error) {
	overlay, ok := r.overlays[c.Overlay]
	if !ok {
		var err error
		switch {
		case c.Overlay.File != "":
			overlay, err = r.files.Overlay(c.Overlay.File)
		case c.Overlay.Text != "":
			overlay, err = policy.ParseOverlay(fmt.Sprintf("%s (overlay of %q)", r.suite.File, c.Name),
				[]byte(c.Overlay.Text))
		}
		if err != nil {
			return policy.Layers{}, err
		}
		r.overlays[c.Overlay] = overlay
	}
	layers, err := policy.Stack(r.embedded, overlay)
	if err != nil {
		return layers, fmt.Errorf("%s:%d: %w", r.suite.File, c.Line, err)
	}
	return layers.For(c.Client), nil
}

func (r *runner) ask(layers policy.Layers, c Case) (Result, error) {
	trace := explain(layers, &c)
	res := Result{
		Case: c, Decision: trace.Decision, Failures: compare(c.Expect, trace.Decision),
		Rule: trace.Decision.Rule,
	}
	for _, s := range trace.Steps {
		if s.Kind == policy.StepLayer && s.Layer == policy.LayerPolicy {
			res.Rule = s.Rule
		}
	}
	for i, f := range c.Build {
		answers, failures, err := r.operation(layers, c, trace.Decision, f)
		if err != nil {
			return res, fmt.Errorf("%s:%d: %w", r.suite.File, f.Line, err)
		}
		for _, a := range answers {
			a.Index, a.Line = i+1, f.Line
			res.Build = append(res.Build, a)
		}
		for _, failure := range failures {
			res.Failures = append(res.Failures, fmt.Sprintf("line %d: %s", f.Line, failure))
		}
	}
	for _, w := range c.Wishes {
		a := w.Check(layers, trace.Decision)
		a.Line = w.Line
		res.Build = append(res.Build, a)
		for _, failure := range compareOperation(w.Expect, a) {
			res.Failures = append(res.Failures,
				fmt.Sprintf("line %d: %s: %s", w.Line, a.Asked, failure))
		}
	}
	return res, nil
}

// operation returns the answers to an operation, or to a file of them, and how these differ from
// what is expected.
func (r *runner) operation(
	layers policy.Layers, c Case, d policy.Decision, f Operation,
) (answers []opcheck.Answer, failures []string, err error) {
	named := func(a opcheck.Answer, prefix string) (out []string) {
		for _, failure := range compareOperation(f.Expect, a) {
			out = append(out, prefix+": "+failure)
		}
		return out
	}
	name := f.File.name()
	if name == "" {
		a := opcheck.Check(layers, c.Request, d, f.Operation)
		return []opcheck.Answer{a}, named(a, a.Asked), nil
	}
	q := Question{
		File: f.File, Request: c.Request, Decision: d, Layers: layers, OwnLLB: c.OwnLLB,
		Policies: []*policy.Policy{r.embedded},
	}
	if overlay := r.overlays[c.Overlay]; overlay != nil {
		q.Policies = append(q.Policies, overlay)
	}
	if d.Verdict != policy.Deny { // a frontend that doesn't run asks for nothing
		answers, err = r.files.Judge(q)
	}
	if err != nil || len(answers) == 0 {
		all := opcheck.Answer{
			Verdict: policy.Allow, Asked: "all that " + name + " asks for", Messages: []string{},
		}
		return []opcheck.Answer{all}, named(all, name), err
	}
	worst := slices.MinFunc(answers, func(a, b opcheck.Answer) int { return rank(a) - rank(b) })
	for _, a := range answers {
		if a.Verdict != worst.Verdict {
			continue
		}
		differs := named(a, name+": "+cmp.Or(a.At, a.Asked))
		if len(differs) == 0 {
			return answers, nil, nil
		}
		if failures == nil {
			failures = differs
		}
	}
	return answers, failures, nil
}

// rank is lower for worse answers.
func rank(a opcheck.Answer) int {
	return slices.Index([]policy.Verdict{
		policy.Deny, policy.Undecidable, policy.Warn, policy.Allow,
	}, a.Verdict)
}

// explain decides on the case's request. A build that names no frontend gets the default one.
func explain(layers policy.Layers, c *Case) policy.Trace {
	if c.OwnLLB {
		return layers.ExplainLLB(c.Request.Time)
	}
	if c.Request.Requested != "" {
		c.Request = layers.StandIn(c.Request)
		return policy.Explain(layers, c.Request)
	}
	name := layers.DefaultFrontend()
	ref, err := imageref.Parse(name)
	if err != nil { // A policy has no invalid defaultFrontend, so it has none.
		return policy.Trace{Decision: layers.Refuse("",
			"the build names no frontend, and the policy has no defaultFrontend")}
	}
	c.Request.Requested, c.Request.Reference = name, ref
	return policy.Explain(layers, c.Request)
}

// compare describes how a decision differs from the expected one.
func compare(e Expect, d policy.Decision) []string {
	var failures []string
	failf := func(format string, args ...any) {
		failures = append(failures,
			fmt.Sprintf(format, args...))
	}
	if d.Verdict != e.Verdict {
		failf("the verdict is %s, and should be %s", d.Verdict, e.Verdict)
	}
	if e.Rule != "" && d.Rule != e.Rule {
		failf("the rule is %q, and should be %q", d.Rule, e.Rule)
	}
	if e.Source != "" {
		if want, err := imageref.Parse(e.Source); err != nil || want.String() != d.Image {
			failf("the source is %s, and should be %s", d.Image, e.Source)
		}
	}
	if !strings.Contains(d.Reason, e.Reason) {
		failf("the reason does not have %q", e.Reason)
	}
	for _, part := range e.Messages {
		if !anyContains(d.Messages, part) {
			failf("no message has %q", part)
		}
	}
	for _, part := range e.Warnings {
		if !anyContains(d.Warnings, part) {
			failf("no warning has %q", part)
		}
	}
	if len(failures) > 0 {
		failf("the reason is: %s", d.Reason)
	}
	return failures
}

// compareOperation describes how the answer to an operation differs from the expected one.
func compareOperation(e OperationExpect, a opcheck.Answer) []string {
	var failures []string
	failf := func(format string, args ...any) {
		failures = append(failures,
			fmt.Sprintf(format, args...))
	}
	if a.Verdict != e.Verdict {
		failf("the verdict is %s, and should be %s", a.Verdict, e.Verdict)
	}
	if e.Rule != "" && a.Rule != e.Rule {
		failf("the rule is %q, and should be %q", a.Rule, e.Rule)
	}
	if !strings.Contains(a.Reason, e.Reason) {
		failf("the reason does not have %q", e.Reason)
	}
	for _, part := range e.Messages {
		if !anyContains(a.Messages, part) {
			failf("no message has %q", part)
		}
	}
	if e.Image != "" {
		if want, err := imageref.Parse(e.Image); err != nil || want.String() != a.Image {
			failf("the image that is read is %s, and should be %s", cmp.Or(a.Image, "the requested one"),
				e.Image)
		}
	}
	if len(failures) > 0 && a.Reason != "" {
		failf("the reason is: %s", a.Reason)
	}
	return failures
}

func anyContains(texts []string, part string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, part) })
}

// Uncovered returns the rules of the policy that decided no case, in order. hit has the names of
// those that did.
func Uncovered(p *policy.Policy, hit map[string]bool) []*policy.Rule {
	var out []*policy.Rule
	rules := p.Document().Frontends
	for i := range rules {
		if r := &rules[i]; !hit[r.Name] {
			out = append(out, r)
		}
	}
	return out
}
