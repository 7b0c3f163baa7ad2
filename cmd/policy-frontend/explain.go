package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newExplainCommand() *cobra.Command {
	var f requestFlags
	var built buildFlags
	format := formatText
	cmd := &cobra.Command{
		Use:   "explain [flags] REF",
		Short: "Decide as eval does, and say how it came to that",
		Long: `explain decides whether the frontend REF may run, as eval does, and prints each step
on the way there: what the reference means, which alias rewrote it, each rule with
its file and line and why it did or didn't match, what the policy and the overlay
each decide, under which conditions the frontend may run, by which dispatcher, and to
which rules what it builds is held. The decision comes last, and after it what --build
or --llb ask for, each as eval answers it.

With --format json, steps, decision and answers are one object.

Exit code: as for eval.`,
		Example: `  policy-frontend explain --policy policy.yaml docker/dockerfile:1
  policy-frontend explain --policy policy.yaml --overlay team.yaml docker/dockerfile:1.7
  policy-frontend explain --policy policy.yaml --build operations.yaml docker/dockerfile:1
  policy-frontend explain --policy policy.yaml --format json docker/dockerfile:1`,
		Args: oneReference,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, formatText, formatJSON); err != nil {
				return err
			}
			layers, request, err := f.read(args[0])
			if err != nil {
				return err
			}
			list, err := built.read()
			if err != nil {
				return err
			}
			trace := policy.Explain(layers, request)
			for i, s := range trace.Steps {
				if s.Layer == policy.LayerPolicy && s.File != "" {
					trace.Steps[i].File = filepath.Join(filepath.Dir(f.policy), s.File)
				}
			}
			answers, err := judge(layers, request.Time, trace.Decision, list)
			if err == nil {
				err = printTrace(cmd.OutOrStdout(), trace, answers, built.given(), format)
			}
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the decision: %w", err)}
			}
			return verdictError(worst(trace.Decision.Verdict, answers))
		},
	}
	f.add(cmd)
	built.add(cmd)
	addFormatFlag(cmd, &format, "how to print steps and decision", formatText, formatJSON)
	return cmd
}

func printTrace(w io.Writer, t policy.Trace, answers []opcheck.Answer, operations bool, format string) error {
	switch {
	case format == formatJSON && operations:
		return printJSON(w, struct {
			policy.Trace
			Build []opcheck.Answer `json:"build"`
		}{t, answers})
	case format == formatJSON:
		return printJSON(w, t)
	}
	if _, err := io.WriteString(w, stepsText(t.Steps)+t.Decision.Text("")+"\n"); err != nil {
		return err
	}
	return printAnswers(w, answers)
}

// stepsText writes the steps for a person, one line each, those of each layer under
// its name.
func stepsText(steps []policy.Step) string {
	lines := make([][3]string, len(steps))
	var widths [2]int
	for i, s := range steps {
		lines[i] = [3]string{string(s.Kind), outcomeText(s), detailText(s)}
		for column := range widths {
			widths[column] = max(widths[column], len(lines[i][column]))
		}
	}
	var b strings.Builder
	layer := ""
	for i, l := range lines {
		if steps[i].Layer != layer {
			if layer = steps[i].Layer; layer != "" {
				fmt.Fprintf(&b, "by the %s:\n", layer)
			}
		}
		kind := l[0]
		if layer != "" {
			kind = "  " + kind
		}
		text := fmt.Sprintf("%-*s  %-*s  %s", widths[0]+2, kind, widths[1], l[1], l[2])
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return b.String()
}

// outcomeText is what came of a step in a word.
func outcomeText(s policy.Step) string {
	if s.Verdict != "" {
		return string(s.Verdict)
	}
	return string(s.Result)
}

// detailText says which rule or alias a step was about, and why it came out so.
func detailText(s policy.Step) string {
	var at string
	if s.File != "" && s.Line > 0 {
		at = fmt.Sprintf("%s:%d: ", s.File, s.Line)
	}
	if s.Kind == policy.StepRule {
		at += fmt.Sprintf("%q: ", s.Rule)
	}
	return at + s.Reason
}
