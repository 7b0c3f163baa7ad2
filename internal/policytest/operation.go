package policytest

import (
	"cmp"
	"io/fs"
	"path"
	"reflect"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Operation is an operation of a case, or a file with operations, and the expected answer.
type Operation struct {
	buildrules.Operation
	// File has the operations, unless it is the zero value.
	File BuildFile
	// Line is where the operation begins, counted from 1.
	Line int
	// Expect is the expected answer.
	Expect OperationExpect
}

// BuildFile is a file with operations.
type BuildFile struct {
	// A Dockerfile in the directory of this file, or below. All that its build asks for is judged.
	Dockerfile string `yaml:"dockerfile,omitempty"`
	// The stage of the Dockerfile to build. Without it, each stage is built that no other one uses.
	Target string `yaml:"target,omitempty"`
	// The build-args of the Dockerfile.
	Args map[string]string `yaml:"args,omitempty" blank:"true"`
	// A file with LLB in the directory of this file, or below, in the format of buildctl build.
	LLB string `yaml:"llb,omitempty"`
}

// name returns the name of the file.
func (f BuildFile) name() string { return cmp.Or(f.Dockerfile, f.LLB) }

// OperationExpect is the expected answer to an operation. Empty fields aren't compared.
type OperationExpect struct {
	// The verdict of the answer.
	Verdict policy.Verdict `yaml:"verdict" jsonschema:"enum=allow,enum=warn,enum=deny,enum=undecidable"`
	// The name of the rule that decides, or build for the policy's build rules.
	Rule string `yaml:"rule,omitempty"`
	// A part of the reason.
	Reason string `yaml:"reason,omitempty"`
	// Parts of messages. Several can be parts of the same message.
	Messages []string `yaml:"messages,omitempty"`
	// The image that must be read instead, in any spelling.
	Image string `yaml:"image,omitempty"`
}

// FileOperation is an operation as it is written in a file.
type FileOperation struct {
	buildrules.Operation `yaml:",inline"`
	BuildFile            `yaml:",inline"`

	// The expected answer. The verdict can stand alone. The default is allow.
	Expect *OperationExpect `yaml:"expect,omitempty" short:"verdict"`
}

func (r *reader) operation(at func(...any) []any, w *FileOperation) Operation {
	f := Operation{Operation: w.Operation}
	f.Line = r.strict.At(at()...).Line
	if f.File = w.BuildFile; f.File.Dockerfile != "" {
		f.File.Dockerfile = path.Clean(f.File.Dockerfile)
	}
	if f.File.LLB != "" {
		f.File.LLB = path.Clean(f.File.LLB)
	}
	if f.File.name() == "" && f.File.Target == "" && f.File.Args == nil {
		if problem := opcheck.Problem(f.Operation); problem != "" {
			r.problem(at(), "%s", problem)
		}
	} else {
		r.buildFile(at, w)
	}
	f.Expect = r.expected(at, w.Expect)
	return f
}

// expected checks what is written of the expected answer, which may be nil.
func (r *reader) expected(at func(...any) []any, w *OperationExpect) OperationExpect {
	if w == nil {
		return OperationExpect{Verdict: policy.Allow}
	}
	r.verdict(at, w.Verdict)
	if w.Image != "" {
		if _, err := imageref.Parse(w.Image); err != nil {
			r.problem(at("expect", "image"), "image: %v", err)
		}
	}
	return *w
}

// buildFile checks an entry that names a file.
func (r *reader) buildFile(at func(...any) []any, w *FileOperation) {
	f := w.BuildFile
	switch {
	case !reflect.ValueOf(w.Operation).IsZero() || f.Dockerfile != "" && f.LLB != "":
		r.problem(at(), "the entry has several operations; write an entry for each")
	case f.Dockerfile == "" && (f.LLB == "" || f.Target != "" || f.Args != nil):
		r.problem(at(), "target and args belong to a dockerfile; name one, or remove them")
	}
	for key, name := range map[string]string{"dockerfile": f.Dockerfile, "llb": f.LLB} {
		if name != "" && !fs.ValidPath(path.Clean(name)) {
			r.problem(at(key), "%s must be in the directory of this file or below, not %q", key, name)
		}
	}
	if w.Expect != nil && w.Expect.Image != "" {
		r.problem(at("expect", "image"), "image is about one operation, not about a file; remove it")
	}
}
