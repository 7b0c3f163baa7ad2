package policytest

import (
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Fact is something that a frontend would ask for.
type Fact struct {
	policy.Fact
	// Line is where the fact begins, counted from 1.
	Line int
	// Expect is what the policy must answer.
	Expect FactExpect
}

// FactExpect is what the answer to a fact must be. What is empty is not looked at.
type FactExpect struct {
	// Verdict is that of the answer; allow if the file doesn't say it.
	Verdict policy.Verdict `yaml:"verdict"`
	// Rule is the name of the rule that decides; build for the policy-wide ones.
	Rule string `yaml:"rule,omitempty"`
	// Reason is a part of the reason.
	Reason string `yaml:"reason,omitempty"`
	// Image is what must be read instead of the image, however it is written.
	Image string `yaml:"image,omitempty"`
}

// writtenFact is a fact as it is written in a file.
type writtenFact struct {
	policy.Fact `yaml:",inline"`

	Expect *FactExpect `yaml:"expect,omitempty"`
}

func (r *reader) fact(at func(...any) []any, w *writtenFact) Fact {
	f := Fact{Fact: w.Fact, Expect: FactExpect{Verdict: policy.Allow}}
	f.Line = r.strict.At(at()...).Line
	if problem := opcheck.Problem(f.Fact); problem != "" {
		r.problem(at(), "%s", problem)
	}
	if w.Expect == nil {
		return f
	}
	f.Expect = *w.Expect
	r.verdict(at, f.Expect.Verdict)
	if f.Expect.Image != "" {
		if _, err := imageref.Parse(f.Expect.Image); err != nil {
			r.problem(at("expect", "image"), "image: %v", err)
		}
	}
	return f
}
