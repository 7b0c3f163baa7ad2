package policytest

import (
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Operation is an operation of a case, and the expected answer.
type Operation struct {
	buildrules.Operation
	// Line is where the operation begins, counted from 1.
	Line int
	// Expect is the expected answer.
	Expect OperationExpect
}

// OperationExpect is the expected answer to an operation. Empty fields aren't compared.
type OperationExpect struct {
	// The verdict of the answer.
	Verdict policy.Verdict `yaml:"verdict" jsonschema:"enum=allow,enum=warn,enum=deny,enum=undecidable"`
	// The name of the rule that decides, or build for the policy's build rules.
	Rule string `yaml:"rule,omitempty"`
	// A part of the reason.
	Reason string `yaml:"reason,omitempty"`
	// The image that must be read instead, in any spelling.
	Image string `yaml:"image,omitempty"`
}

// FileOperation is an operation as it is written in a file.
type FileOperation struct {
	buildrules.Operation `yaml:",inline"`

	// The expected answer. The verdict can stand alone. The default is allow.
	Expect *OperationExpect `yaml:"expect,omitempty" short:"verdict"`
}

func (r *reader) operation(at func(...any) []any, w *FileOperation) Operation {
	f := Operation{Operation: w.Operation, Expect: OperationExpect{Verdict: policy.Allow}}
	f.Line = r.strict.At(at()...).Line
	if problem := opcheck.Problem(f.Operation); problem != "" {
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
