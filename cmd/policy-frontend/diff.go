package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/diff"
)

func newDiffCommand() *cobra.Command {
	var at string
	out := newOutput("the differences", asText(compared.text),
		asJSON(func(c compared) any { return c.Report }))
	cmd := &cobra.Command{
		Use:   "diff [flags] OLD NEW",
		Short: "Show what a policy change newly allows or refuses",
		Long: `diff compares the answers of two policies. It makes sample requests from the conditions
in both policies and evaluates each request with both. It prints which requests become
allowed or refused, and which conditions on allowed frontends loosen or tighten. Each
change comes with the simplest request that shows it. Last, diff prints the differences in
the policies themselves, whether they have an effect or not. Those in exports and caches
have an example of what becomes allowed, and one of what becomes refused.

Sample names, tags, digests, options, platforms, clients and times come from the
literals and the patterns in the rules. The overlap of each pair of patterns and the
ends of version ranges give further samples. If both policies let a frontend run, diff
also makes samples of what it may build.

The samples don't cover everything. A change can go unnoticed where three or more patterns
overlap, or in an unusual spelling of a version. diff assumes that a name and its alias
have the same image under each tag. It ignores overlays and the policy frontend's own
name.

If the policies are too large to compare fully, or no sample can show the effect of a
change, diff says so and treats the change as widening. If an alias, a conversion or
another pin puts another image in place of the one that was used, that widens too, even if
the old policy allows the new one. A pin where there was none doesn't widen.

Rules can expire later. diff compares the policies at --at and at each later time at which
a rule changes.

In a review, get the current policy with: git show main:policy.yaml > old.yaml

Exit codes:
  0  nothing widened
  1  something is newly allowed, or allowed under fewer conditions, or can't be compared
  2  a file can't be read or isn't a valid policy`,
		Example: `  policy-frontend diff policy.yaml changed.yaml
  policy-frontend diff --format json policy.yaml changed.yaml
  policy-frontend diff old.yaml policy.yaml`,
		Args:              exactly(2, "policy files"),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := oneStdin(args...); err != nil {
				return err
			}
			now, err := parseAt(at)
			if err != nil {
				return err
			}
			before, err := loadPolicy(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			after, err := loadPolicy(args[1])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			r := diff.Compare(before.Policy, after.Policy, now)
			if err := out.print(cmd.OutOrStdout(), compared{r, now}); err != nil {
				return err
			}
			if r.Widened {
				return exitWith(exitFindings)
			}
			return nil
		},
	}
	addAtFlag(cmd, &at)
	out.add(cmd)
	return cmd
}

// compared is the result of diff at a time.
type compared struct {
	diff.Report
	at time.Time
}

func (r compared) text() string {
	var b strings.Builder
	for _, d := range r.Differences {
		mark := " "
		if d.Widens {
			mark = "+"
		}
		fmt.Fprintf(&b, "%s %-9s %s\n", mark, d.Change, requestText(d.Request, r.at))
		if d.Count > 1 {
			fmt.Fprintf(&b, "    and %d more like it, from %s\n", d.Count-1, d.Pattern)
		}
		for _, text := range d.Details {
			fmt.Fprintf(&b, "    %s\n", text)
		}
		fmt.Fprintf(&b, "    before: %s\n    now:    %s\n", answerText(d.Before), answerText(d.After))
	}
	for _, s := range r.Statements {
		mark := " "
		if s.Widens {
			mark = "+"
		}
		fmt.Fprintf(&b, "%s %s\n", mark, s.Text)
		for _, e := range s.Examples {
			fmt.Fprintf(&b, "    %s: %s\n    before: %s\n    now:    %s\n", e.Change, e.Asked,
				rulingText(e.Before), rulingText(e.After))
		}
	}
	for _, what := range r.Uncompared {
		fmt.Fprintf(&b, "+ not compared: %s\n", what)
	}
	switch {
	case !r.Complete:
		fmt.Fprintf(&b, "There is too much to compare: after %d requests, something may still widen\n",
			r.Requests)
	case len(r.Uncompared) > 0:
		fmt.Fprintf(&b, "%d requests compared; something may widen (+)\n", r.Requests)
	case r.Widened:
		fmt.Fprintf(&b, "%d requests compared; something widens (+)\n", r.Requests)
	default:
		fmt.Fprintf(&b, "%d requests compared; nothing widens\n", r.Requests)
	}
	return b.String()
}

func requestText(r diff.Request, now time.Time) string {
	text := r.Reference
	if text == "" {
		text = "a build that names no frontend"
	}
	for _, k := range slices.Sorted(maps.Keys(r.Options)) {
		text += fmt.Sprintf(" with the option %s=%q", k, r.Options[k])
	}
	if len(r.Inputs) > 0 {
		text += " with an input from another build"
	}
	if r.Client != "" {
		text += ", asked for by " + r.Client
	}
	if !r.Time.Equal(now) {
		text += " from " + r.Time.UTC().Format(time.RFC3339)
	}
	return text
}

func rulingText(a diff.RulingAnswer) string {
	if a.Reason == "" {
		return string(a.Verdict)
	}
	return fmt.Sprintf("%s: %s", a.Verdict, a.Reason)
}

func answerText(a diff.Answer) string {
	return fmt.Sprintf("%s: %s", a.Verdict, a.Reason)
}
