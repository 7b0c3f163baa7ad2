package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newExplainCommand() *cobra.Command {
	var f askFlags
	out := newOutput("the steps and the decision", asText(explained.text), asJSON(explained.json))
	cmd := &cobra.Command{
		Use:   "explain [flags] [REF...]",
		Short: "Like eval, but show every step of the decision",
		Long: `explain decides whether the frontend REF may run, like eval, and prints every step:

  - the canonical form of the reference, and the alias that rewrites it;
  - each rule, with its file and line, and why it did or didn't match;
  - the decisions of the policy and of the overlay;
  - the conditions under which the frontend may run, and the dispatcher;
  - the build rules that apply to it;
  - where its results may go, which build caches a build may use, which images may make
    SBOMs, which builds have summaries, and whether clients may run containers.

The decision follows, and then the answers to the operations in --build or --llb, and to
--export, --cache-from, --cache-to, --sbom, --debug and --administration. Below each
answer to an operation, explain prints the entries that it compared, and why an entry
doesn't match. For a name or a URL, that is the scheme, host, port or path. For a command
or an image, it is what the command uses or what the image's configuration has.

With --format json, explain prints one object with steps, decision and answers.

Exit codes are those of eval.`,
		Example: `  policy-frontend explain --policy policy.yaml docker/dockerfile:1
  policy-frontend explain --policy policy.yaml --overlay team.yaml docker/dockerfile:1.7
  policy-frontend explain --policy policy.yaml --build operations.yaml docker/dockerfile:1
  policy-frontend explain --policy policy.yaml --own-llb --llb build.llb
  policy-frontend explain --policy policy.yaml --format json docker/dockerfile:1`,
		Args: f.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			f.tell(cmd, cmd.ErrOrStderr())
			q, err := f.read(args)
			if err != nil {
				return err
			}
			codes := make([]int, len(q.requests))
			for i, request := range q.requests {
				trace := f.explain(q.layers, request)
				answers, err := q.answers(opcheck.Explain, request, trace.Decision)
				if err != nil {
					return err
				}
				if err := out.print(cmd.OutOrStdout(), explained{trace, answers, f.asked()}); err != nil {
					return err
				}
				codes[i] = verdictCode(worst(trace.Decision.Verdict, answers))
			}
			return exitWith(worstCode(codes))
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

// explain returns the steps with file names that are relative to the working directory.
func (f *askFlags) explain(l policy.Layers, r policy.Request) policy.Trace {
	var trace policy.Trace
	if f.ownLLB {
		trace = l.ExplainLLB(r.Time)
	} else {
		trace = policy.Explain(l, r)
	}
	if isPipe(f.policy) {
		return trace
	}
	for i, s := range trace.Steps {
		if s.Layer == policy.LayerPolicy && s.File != "" {
			trace.Steps[i].File = filepath.Join(filepath.Dir(f.policy), s.File)
		}
	}
	return trace
}

// explained is the result of explain.
type explained struct {
	trace   policy.Trace
	answers []opcheck.Answer
	asked   bool // whether there were operations to check
}

// json returns the trace. It has the answers only if there were operations.
func (e explained) json() any {
	if !e.asked {
		return e.trace
	}
	return struct {
		policy.Trace
		Build []opcheck.Answer `json:"build"`
	}{e.trace, e.answers}
}

func (e explained) text() string {
	return stepsText(e.trace.Steps) + e.trace.Decision.Text("") + "\n" + answersText(e.answers)
}

// stepsText writes the steps for a person, one on each line. The steps of a layer are below
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

// outcomeText returns the result of a step in one word.
func outcomeText(s policy.Step) string {
	if s.Verdict != "" {
		return string(s.Verdict)
	}
	return string(s.Result)
}

// detailText returns the position and rule of a step, and the reason for its result.
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
