package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// buildFlags are the flags for files with operations that the frontend would ask for.
type buildFlags struct{ operations, llb string }

func (f *buildFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.operations, "build", "",
		"a `FILE` with a YAML list of operations that the frontend would ask for")
	cmd.Flags().StringVar(&f.llb, "llb", "",
		"a `FILE` with LLB that the frontend would build, in the format of buildctl build")
	completeYAML(cmd, "build")
}

func (f *buildFlags) given() bool { return f.operations != "" || f.llb != "" }

// asked is an operation and the line of a build file that it comes from.
type asked struct {
	buildrules.Operation
	at string
}

// read returns the operations in the files, in order. The error is an *exitError.
func (f *buildFlags) read() ([]asked, error) {
	var out []asked
	if f.operations != "" {
		data, err := readFile(f.operations, opcheck.MaxSize)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		list, err := opcheck.Parse(f.operations, data)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		for _, operation := range list {
			out = append(out, asked{Operation: operation})
		}
	}
	if f.llb == "" {
		return out, nil
	}
	data, err := readFile(f.llb, llbops.MaxSize)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for found, err := range llbops.Read(data) {
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%s: %w", f.llb, err)}
		}
		out = append(out, asked{Operation: found.Operation, at: place(found)})
	}
	return out, nil
}

// place returns the line of the build file that asks for the operation, or "".
func place(f llbops.Found) string {
	p := f.Place()
	if p == nil {
		return ""
	}
	name := strconv.Quote(p.Info.GetFilename())
	return fmt.Sprintf("line %d of %s", p.Ranges[0].GetStart().GetLine(), name[1:len(name)-1])
}

// check returns the distinct answers to the operations.
func check(
	l policy.Layers, at time.Time, d policy.Decision, list []asked,
) ([]opcheck.Answer, error) {
	out := []opcheck.Answer{}
	seen := map[string]bool{}
	for _, f := range list {
		a := opcheck.Check(l, at, d, f.Operation)
		a.At = f.at
		text, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		if !seen[string(text)] {
			seen[string(text)] = true
			out = append(out, a)
		}
	}
	return out, nil
}

// worst returns the verdict on a build: the worst of the frontend's and of the operations'.
func worst(v policy.Verdict, answers []opcheck.Answer) policy.Verdict {
	for _, bad := range []policy.Verdict{policy.Deny, policy.Undecidable} {
		is := func(a opcheck.Answer) bool { return a.Verdict == bad }
		if v == bad || slices.ContainsFunc(answers, is) {
			return bad
		}
	}
	return v
}

// answersText writes the answers to operations for a person.
func answersText(answers []opcheck.Answer) string {
	var b strings.Builder
	for _, a := range answers {
		at := ""
		if a.At != "" {
			at = " (" + a.At + ")"
		}
		reason := ""
		if a.Reason != "" {
			reason = ": " + a.Reason
		}
		fmt.Fprintf(&b, "%s%s %s%s\n", a.Asked, at, a.Verdict.Text(), reason)
		for _, m := range a.Messages {
			printLine(&b, "message", m)
		}
		printLine(&b, "image", a.Image)
		printLine(&b, "rule", a.Rule)
		if a.Verdict == policy.Deny {
			printLine(&b, "allowed", strings.Join(a.Allowed, ", "))
			printLine(&b, "contact", a.Contact)
		}
	}
	return b.String()
}
