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

// writtenFact has the fields of policy.Fact beside its own.
type writtenFact struct {
	Image     string             `yaml:"image,omitempty"`
	Git       *policy.GitFact    `yaml:"git,omitempty"`
	HTTP      *policy.HTTPFact   `yaml:"http,omitempty"`
	Local     string             `yaml:"local,omitempty"`
	OCILayout string             `yaml:"ociLayout,omitempty"`
	Blob      string             `yaml:"blob,omitempty"`
	Exec      *policy.ExecFact   `yaml:"exec,omitempty"`
	Container *policy.ExecFact   `yaml:"container,omitempty"`
	Frontend  string             `yaml:"frontend,omitempty"`
	Config    *policy.ConfigFact `yaml:"config,omitempty"`
	Unknown   string             `yaml:"unknown,omitempty"`
	Expect    *FactExpect        `yaml:"expect,omitempty"`
}

func (w *writtenFact) fact() policy.Fact {
	return policy.Fact{
		Image: w.Image, Git: w.Git, HTTP: w.HTTP, Local: w.Local, OCILayout: w.OCILayout, Blob: w.Blob,
		Exec: w.Exec, Container: w.Container, Frontend: w.Frontend, Config: w.Config, Unknown: w.Unknown,
	}
}

func (r *reader) fact(at func(...any) []any, w *writtenFact) Fact {
	f := Fact{Fact: w.fact(), Expect: FactExpect{Verdict: policy.Allow}}
	f.Line, _ = r.strict.Position(at()...)
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
