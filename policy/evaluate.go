package policy

import (
	"fmt"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// outcome is the decision of one layer.
type outcome struct {
	verdict     Verdict
	rule        *Rule // nil for the default
	reason      string
	obligations Obligations
	warnings    []string
	unverified  bool // it relies on a tag that was not looked up
	unknown     bool // no rule matches the name

	// holds is the rule whose obligations and build rules bind the build, or nil. It
	// differs from rule where another rule's denial only warns.
	holds *Rule

	constraints *constraints // nil unless the build goes on
	dispatch    Dispatch
}

// severity says how hard a denial is.
type severity int

const (
	enforce severity = iota // the build is refused
	audit                   // the policy's mode is warn: the build goes on with a warning
	warn                    // the rule's own mode is warn: other rules still decide
)

// severity returns how hard a denial by the rule is, or by the default if r is nil.
func (p *Policy) severity(r *Rule) severity {
	switch {
	case r != nil && r.Mode == ModeWarn:
		return warn
	case p.doc.Mode == ModeWarn && (r == nil || r.Mode == ""):
		return audit
	}
	return enforce
}

// evaluation is the result of all rules of one document for a subject.
type evaluation struct {
	denials    []denial         // by deny rules, without those that only warn
	unsure     *Rule            // the first deny rule that depends on the digest
	allow      *Rule            // the first allow rule that matches or depends on the digest
	allowMatch imagerules.Match // the result of allow
	missReason string           // why the first rule for the name doesn't allow
	unverified bool             // a deny rule relied on a tag that was not looked up
	warnings   []string         // by deny rules that only warn
}

// denial is an outcome that refuses a build, and how hard.
type denial struct {
	severity severity
	outcome  outcome
}

// decide applies the rules of one document.
func (p *Policy) decide(s subject, layer, contact string, t *recorder) outcome {
	o := p.conclude(p.evaluate(s, layer, t), s)
	if o.verdict == Allow && len(o.warnings) > 0 {
		o.verdict = Warn
	}
	if o.verdict.Permits() {
		o.constraints, o.dispatch = p.constrain(layer, o, contact)
		o.obligations.Build = o.constraints.obligations()
	}
	if o.dispatch == DispatchBuiltin {
		o = underBuiltin(o, s.Ref)
	}
	t.layer(layer, o)
	return o
}

// evaluate applies the rules. It stops at the first enforced denial, unless it records the steps.
func (p *Policy) evaluate(s subject, layer string, t *recorder) evaluation {
	var e evaluation
	for _, i := range p.candidates(s, t) {
		r := &p.doc.Frontends[i]
		m := r.Apply(s.Subject)
		t.rule(layer, r, m, s)
		if r.Action == ActionDeny {
			e.deny(r, p.severity(r), m, s)
			if e.first(enforce) != nil && t == nil {
				return e
			}
			continue
		}
		if e.allow != nil {
			continue
		}
		if m.Result != imagerules.No {
			e.allow, e.allowMatch = r, m
		} else if e.missReason == "" {
			e.missReason = m.Reason
		}
	}
	return e
}

// candidates returns the indices of the rules to apply, in order. To explain a decision, it returns
// all.
func (p *Policy) candidates(s subject, t *recorder) []int {
	if t == nil {
		return p.index.Find(s.Ref.Name())
	}
	all := make([]int, len(p.doc.Frontends))
	for i := range all {
		all[i] = i
	}
	return all
}

// deny adds the result of a deny rule.
func (e *evaluation) deny(r *Rule, sev severity, m imagerules.Match, s subject) {
	e.unverified = e.unverified || m.Unverified
	switch {
	case m.Result == imagerules.Unknown && e.unsure == nil:
		e.unsure = r
	case m.Result == imagerules.Yes:
		o := denied(r, m, s)
		if sev == warn {
			e.warnings = append(e.warnings, wouldBeRefused(o.reason))
		} else {
			e.denials = append(e.denials, denial{sev, o})
		}
	}
}

// first returns the first denial of the severity, or nil.
func (e *evaluation) first(sev severity) *outcome {
	for i := range e.denials {
		if e.denials[i].severity == sev {
			return &e.denials[i].outcome
		}
	}
	return nil
}

// conclude returns the strongest outcome of an evaluation. The order is: an enforced denial, an
// unknown digest, an audited denial, an allowance. An enforced denial holds for any digest, so it
// comes before an unknown one.
func (p *Policy) conclude(e evaluation, s subject) outcome {
	violations := p.denyRest(&e, s)
	if o := e.first(enforce); o != nil {
		return *o
	}
	if o := e.undecided(s); o != nil {
		return *o
	}
	if o := e.first(audit); o != nil {
		return p.audited(e, *o, violations, s)
	}
	return e.allowed(violations, s)
}

// denyRest adds a denial by the default, or by the options of the allow rule. It returns the
// violations of those options.
func (p *Policy) denyRest(e *evaluation, s subject) []violation {
	if e.allow == nil {
		if p.doc.Default != ActionAllow {
			o := outcome{verdict: Deny, reason: e.missReason}
			if e.missReason == "" {
				o.unknown = true
				o.reason = "no rule allows " + s.Ref.Familiar()
			}
			e.denials = append(e.denials, denial{p.severity(nil), o})
		}
		return nil
	}
	if e.allowMatch.Result != imagerules.Yes {
		return nil
	}
	violations := e.allow.violations(s)
	if o := e.allow.refusal(violations); o != nil {
		e.denials = append(e.denials, denial{p.severity(e.allow), *o})
	}
	return violations
}

// undecided returns the outcome if a rule depends on an unknown digest, or nil.
func (e *evaluation) undecided(s subject) *outcome {
	switch {
	case e.unsure != nil:
		return undecidable(e.unsure, "denies", s)
	case e.allow != nil && e.allowMatch.Result == imagerules.Unknown:
		return undecidable(e.allow, "allows", s)
	}
	return nil
}

// audited returns the outcome of a denial if the policy only warns.
func (p *Policy) audited(e evaluation, o outcome, violations []violation, s subject) outcome {
	o.verdict, o.unverified = Warn, e.unverified || e.allowMatch.Unverified
	// The obligations of the allow rule hold even so.
	if e.allow != nil && p.severity(e.allow) == enforce {
		o.holds, o.obligations = e.allow, e.allow.oblige(s, violations)
	}
	o.warnings = append([]string{wouldBeRefused(o.reason)}, e.warnings...)
	return o
}

// allowed returns the outcome if nothing denies the request. The allow rule decides, or else the
// default.
func (e *evaluation) allowed(violations []violation, s subject) outcome {
	o := outcome{
		verdict: Allow, unverified: e.unverified || e.allowMatch.Unverified,
		warnings: e.warnings,
	}
	if e.allow == nil {
		o.reason = "no rule matches " + s.Ref.Familiar() + ", and the default is to allow"
		return o
	}
	o.rule, o.holds = e.allow, e.allow
	o.reason = fmt.Sprintf("rule %s allows %s", safetext.Quote(e.allow.Name), s.Ref.Familiar())
	o.obligations = e.allow.oblige(s, violations)
	o.warnings = append(o.warnings, e.allow.Ending(s.Now)...)
	for _, v := range violations {
		o.warnings = append(o.warnings, wouldBeRefused(v.reason))
	}
	return o
}

func wouldBeRefused(reason string) string { return "would be refused: " + reason }

// refusal returns the denial of a request for its options, or nil if there are no violations.
func (r *Rule) refusal(found []violation) *outcome {
	if len(found) == 0 {
		return nil
	}
	reason := found[0].reason + andMore(len(found)-1)
	return &outcome{verdict: Deny, rule: r, reason: reason}
}

func denied(r *Rule, m imagerules.Match, s subject) outcome {
	reason := m.Reason
	if reason == "" {
		reason = fmt.Sprintf("rule %s denies %s", safetext.Quote(r.Name), s.Ref.Familiar())
	}
	return outcome{verdict: Deny, rule: r, reason: reason + m.Whom}
}

func undecidable(r *Rule, verb string, s subject) *outcome {
	return &outcome{verdict: Undecidable, rule: r, reason: fmt.Sprintf(
		"rule %s %s only the %s, and the digest of %s is not known", safetext.Quote(r.Name), verb,
		safetext.List("digest", "digests", r.Digests), s.Ref.Familiar())}
}
