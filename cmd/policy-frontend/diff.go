package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/diff"
)

func newDiffCommand() *cobra.Command {
	var at string
	format := formatText
	cmd := &cobra.Command{
		Use:   "diff [flags] OLD NEW",
		Short: "Say what a changed policy allows and refuses that it didn't",
		Long: `diff compares two policies by what they answer: it makes examples of requests from the
conditions of both, asks both, and prints what becomes allowed, what becomes refused,
and which obligations loosen or tighten, each with the simplest request that shows it.
What the policies say differently, whatever comes of it, is printed last.

Names, tags, digests, options and moments are made from what the rules spell out, from
their globs, from what each two of these have in common, and from the ends of ranges of
versions; so are examples of what a frontend may build, where both policies let it run.
The examples are many, but they are examples: a change can hide where three or more
globs meet, or in a version in a spelling that isn't tried. A registry is taken to have
the same image under a tag before and after an alias. Overlays and the name of the
policy frontend itself are not looked at. If there is too much to compare, diff says so
and counts that as widened.

What changes later, because rules expire, is compared from --at on.

In a review, git show main:policy.yaml > old.yaml gets what is there now.

Exit code: 0 nothing widened, 1 something is allowed that wasn't, or under fewer
obligations, 2 a file can't be read or is no policy.`,
		Example: `  policy-frontend diff policy.yaml changed.yaml
  policy-frontend diff --format json policy.yaml changed.yaml
  policy-frontend diff old.yaml policy.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("give exactly two policy files, not %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, formatText, formatJSON); err != nil {
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
			if err := printDiff(cmd.OutOrStdout(), r, now, format); err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the differences: %w", err)}
			}
			if r.Widened {
				return &exitError{code: exitFindings}
			}
			return nil
		},
	}
	addAtFlag(cmd, &at)
	addFormatFlag(cmd, &format, "how to print the differences", formatText, formatJSON)
	return cmd
}

func printDiff(w io.Writer, r diff.Report, now time.Time, format string) error {
	if format == formatJSON {
		return printJSON(w, r)
	}
	_, err := io.WriteString(w, diffText(r, now))
	return err
}

// diffText writes a report for a person.
func diffText(r diff.Report, now time.Time) string {
	var b strings.Builder
	for _, d := range r.Differences {
		mark := " "
		if d.Widens {
			mark = "+"
		}
		fmt.Fprintf(&b, "%s %-9s %s\n", mark, d.Change, requestText(d.Request, now))
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
	}
	switch {
	case !r.Complete:
		fmt.Fprintf(&b, "There is too much to compare: after %d requests, it is not known whether anything widens\n", r.Requests)
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
		text += " with a frontend input"
	}
	if !r.Time.Equal(now) {
		text += " from " + r.Time.UTC().Format(time.RFC3339)
	}
	return text
}

func answerText(a diff.Answer) string {
	return fmt.Sprintf("%s: %s", a.Verdict, a.Reason)
}
