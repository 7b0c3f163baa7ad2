package policy

import (
	"fmt"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// outcome is what one layer decides by itself.
type outcome struct {
	verdict     Verdict
	rule        *Rule // nil for the default
	reason      string
	obligations Obligations
	warnings    []string
	believed    bool
	unknown     bool // no rule is for the name

	// holds is the rule to which a build is held that goes on: what it obliges to, and
	// its rules on builds. It isn't rule where another rule's denial only warns; nil if
	// there is none.
	holds *Rule

	constraints *constraints // nil unless the build goes on
	dispatch    Dispatch
}

// force is how hard a denial is.
type force int

const (
	enforced force = iota
	trial          // the policy's mode is to warn: in the end, the build goes on
	warned         // the rule's own mode is to warn: the other rules still count
)

// force returns how hard the rule denies; that of the default for nil.
func (p *Policy) force(r *Rule) force {
	switch {
	case r != nil && r.Mode == ModeWarn:
		return warned
	case p.Mode == ModeWarn && (r == nil || r.Mode == ""):
		return trial
	}
	return enforced
}

// judgement is what the rules of one document say to a subject.
type judgement struct {
	deny     [warned]*outcome // the first certain denial that is enforced, and on trial
	unsure   *Rule            // the first deny rule that depends on the digest
	allow    *Rule            // the first allow rule that isn't missed
	found    match            // what it says
	near     string           // why the first rule that is for the name doesn't allow
	believed bool
	warnings []string
}

// decide applies the rules of one document.
func (p *Policy) decide(s subject, layer, contact string, t *recorder) outcome {
	j := p.judge(s, layer, t)
	o := p.conclude(j, s)
	if o.verdict == Allow && len(o.warnings) > 0 {
		o.verdict = Warn
	}
	if o.verdict.Permits() {
		o.constraints, o.dispatch = p.constrain(layer, o, contact)
		o.obligations.Build = o.constraints.obligations()
	}
	t.layer(layer, o)
	return o
}

func (p *Policy) judge(s subject, layer string, t *recorder) judgement {
	var j judgement
	for _, i := range p.candidates(s, t) {
		r := &p.Frontends[i]
		m := r.match(s)
		t.rule(layer, r, m, s)
		if r.Action == ActionDeny {
			j.denying(p, r, m, s)
			if j.deny[enforced] != nil && t == nil {
				return j
			}
			continue
		}
		if j.allow != nil {
			continue
		}
		if m.truth != no {
			j.allow, j.found = r, m
		} else if j.near == "" {
			j.near = m.near
		}
	}
	return j
}

// candidates returns the indices of the rules to ask, in order. To explain, all
// are asked.
func (p *Policy) candidates(s subject, t *recorder) []int {
	if t == nil {
		return p.index.rules(s.ref.Name())
	}
	all := make([]int, len(p.Frontends))
	for i := range all {
		all[i] = i
	}
	return all
}

func (j *judgement) denying(p *Policy, r *Rule, m match, s subject) {
	j.believed = j.believed || m.believed
	switch {
	case m.truth == unknown && j.unsure == nil:
		j.unsure = r
	case m.truth == yes:
		o := denied(r, m, s)
		f := p.force(r)
		if f == warned {
			j.warnings = append(j.warnings, "would be refused: "+o.reason)
		} else if j.deny[f] == nil {
			j.deny[f] = &o
		}
	}
}

// conclude makes a decision of what the rules say. What is refused whatever the
// digest is doesn't wait for it; everything else does.
func (p *Policy) conclude(j judgement, s subject) outcome {
	if j.deny[enforced] != nil {
		return *j.deny[enforced]
	}
	believed := j.believed || j.found.believed
	soft := j.deny[trial]
	var passed []violation
	if j.allow == nil && p.Default != ActionAllow {
		o := outcome{verdict: Deny, reason: j.near}
		if j.near == "" {
			o.unknown = true
			o.reason = "no rule allows " + s.ref.Familiar()
		}
		if p.force(nil) == enforced {
			return o
		}
		soft = first(soft, &o)
	} else if j.allow != nil && j.found.truth == yes {
		passed = j.allow.violations(s)
		if o := j.allow.refusal(passed); o != nil {
			switch p.force(j.allow) {
			case enforced:
				return *o
			case trial:
				soft = first(soft, o)
			}
		}
	}
	switch {
	case j.unsure != nil:
		return undecidable(j.unsure, "denies", s)
	case j.allow != nil && j.found.truth == unknown:
		return undecidable(j.allow, "allows", s)
	case soft != nil:
		o := *soft
		o.verdict, o.believed = Warn, believed
		if j.allow != nil && p.force(j.allow) == enforced { // a denial on trial takes nothing off it
			o.holds, o.obligations = j.allow, j.allow.oblige(s, passed)
		}
		o.warnings = append([]string{"would be refused: " + o.reason}, j.warnings...)
		return o
	case j.allow == nil:
		return outcome{verdict: Allow, reason: "no rule matches " + s.ref.Familiar() + ", and the default is to allow", believed: believed, warnings: j.warnings}
	}
	o := outcome{
		verdict:     Allow,
		rule:        j.allow,
		holds:       j.allow,
		reason:      fmt.Sprintf("rule %s allows %s", safetext.Quote(j.allow.Name), s.ref.Familiar()),
		obligations: j.allow.oblige(s, passed),
		believed:    believed,
		warnings:    append(j.warnings, j.allow.ending(s.now)...),
	}
	for _, v := range passed {
		o.warnings = append(o.warnings, "would be refused: "+v.reason)
	}
	return o
}

func first(a, b *outcome) *outcome {
	if a != nil {
		return a
	}
	return b
}

// refusal is the denial of a request for its options; nil if they are in order.
func (r *Rule) refusal(found []violation) *outcome {
	if len(found) == 0 {
		return nil
	}
	reason := found[0].reason + andMore(len(found)-1)
	return &outcome{verdict: Deny, rule: r, reason: reason}
}

func denied(r *Rule, m match, s subject) outcome {
	reason := m.near
	if reason == "" {
		reason = fmt.Sprintf("rule %s denies %s", safetext.Quote(r.Name), s.ref.Familiar())
	}
	return outcome{verdict: Deny, rule: r, reason: reason}
}

func undecidable(r *Rule, verb string, s subject) outcome {
	return outcome{verdict: Undecidable, rule: r, reason: fmt.Sprintf(
		"rule %s %s only the %s, and the digest of %s is not known", safetext.Quote(r.Name), verb, list("digest", "digests", r.Digests), s.ref.Familiar())}
}
