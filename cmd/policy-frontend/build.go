package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

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

// asked is an operation, and where it comes from: its place in a file of operations, or the line
// of a build file.
type asked struct {
	buildrules.Operation
	index, line int
	at          string
}

// read returns the operations in the files, in order. ownLLB says that no frontend asks for them,
// and keptApart that commands are kept apart from those of other builds. The error is an
// *exitError.
func (f *buildFlags) read(ownLLB, keptApart bool) ([]asked, error) {
	var out []asked
	if f.operations != "" {
		data, err := readFile(f.operations, opcheck.MaxSize)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		list, err := opcheck.Parse(shownName(f.operations), data)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		for i, o := range list {
			if why := opcheck.NotInLLB(o.Operation); ownLLB && why != "" {
				return nil, &exitError{
					exitUsage, fmt.Errorf("%s:%d: %s", shownName(f.operations), o.Line, why),
				}
			}
			out = append(out, asked{Operation: o.Operation, index: i + 1, line: o.Line})
		}
	}
	if f.llb == "" {
		return out, nil
	}
	data, err := readFile(f.llb, llbops.MaxSize)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	list, err := operationsOf(shownName(f.llb), data, ownLLB, keptApart)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return append(out, list...), nil
}

// operationsOf returns the operations in LLB. name is that of its file. own says that no frontend
// made it, and keptApart that commands are kept apart from those of other builds.
func operationsOf(name string, data []byte, own, keptApart bool) ([]asked, error) {
	var out []asked
	operations := llbops.Read(data)
	if own {
		operations = llbops.ReadOwn(data, keptApart)
	}
	for found, err := range operations {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
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

// answerer is [opcheck.Check] or [opcheck.Explain].
type answerer func(
	policy.Layers, policy.Request, policy.Decision, buildrules.Operation,
) opcheck.Answer

// check returns the answers to the operations: to each one in a file of operations, and the
// distinct ones to those in LLB, which repeats itself.
func check(
	ask answerer, l policy.Layers, r policy.Request, d policy.Decision, list []asked,
) ([]opcheck.Answer, error) {
	out := []opcheck.Answer{}
	seen := map[string]bool{}
	for _, f := range list {
		a := ask(l, r, d, f.Operation)
		a.Index, a.Line, a.At = f.index, f.line, f.at
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
		at, index := "", ""
		switch {
		case a.At != "":
			at = " (" + a.At + ")"
		case a.Line > 0:
			index, at = fmt.Sprintf("%d. ", a.Index), fmt.Sprintf(" (line %d)", a.Line)
		}
		reason := ""
		if a.Reason != "" {
			reason = ": " + a.Reason
		}
		fmt.Fprintf(&b, "%s%s%s %s%s\n", index, a.Asked, at, a.Verdict.Text(), reason)
		for _, m := range a.Messages {
			printLine(&b, "message", m)
		}
		printLine(&b, "image", a.Image)
		printLine(&b, "rule", a.Rule)
		if a.Verdict == policy.Deny {
			printLine(&b, "allowed", strings.Join(a.Allowed, ", "))
			printLine(&b, "contact", a.Contact)
		}
		for _, step := range a.Steps {
			by := ""
			if step.Layer == policy.LayerOverlay {
				by = "the overlay's "
			}
			fmt.Fprintf(&b, "  %-13s %s%s: %s\n", string(step.Result)+":", by, step.Entry, step.Reason)
		}
	}
	return b.String()
}
