package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
)

func newEvalCommand() *cobra.Command {
	var f requestFlags
	format := formatText
	cmd := &cobra.Command{
		Use:   "eval [flags] REF",
		Short: "Decide whether a frontend may run, without a build",
		Long: `eval decides whether the frontend REF may run, with no network and no build.

The answer is the one that a build with the same options, at the same time, gets.
Three things can't be seen here: what a tag points to, unless --digest says it;
under which name the policy frontend itself runs, so that a REF that names it is
judged like any other; and named contexts that would replace it.

A tag beside a digest is believed, and a message says so; in a build the tag is
looked up and must point to the digest if the decision depends on it.

With --format json, the decision is the object that a build leaves in its result's
metadata under frontend.policy.decision.

Exit code: 0 allow or warn, 1 deny, 2 wrong usage or an invalid policy,
3 undecidable because the decision needs the digest of the image.`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --overlay team.yaml --format json docker/dockerfile:1.7
  policy-frontend eval --policy policy.yaml --opt build-arg:HTTP_PROXY=http://proxy --input base docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --at 2027-03-01T00:00:00Z docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --opt build-arg:POLICY_FRONTEND_POLICY="$(cat team.yaml)" docker/dockerfile:1`,
		Args: oneReference,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, formatText, formatJSON); err != nil {
				return err
			}
			layers, request, err := f.read(args[0])
			if err != nil {
				return err
			}
			d := policy.Decide(layers, request)
			if err := printDecision(cmd.OutOrStdout(), d, format); err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the decision: %w", err)}
			}
			return verdictError(d.Verdict)
		},
	}
	f.add(cmd)
	addFormatFlag(cmd, &format, "how to print the decision", formatText, formatJSON)
	return cmd
}

func printDecision(w io.Writer, d policy.Decision, format string) error {
	if format == formatJSON {
		return printJSON(w, d)
	}
	_, err := io.WriteString(w, decisionText(d))
	return err
}

// printJSON writes v in one line, with characters such as < as they are.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// decisionText writes a decision for a person.
func decisionText(d policy.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", d.Verdict, d.Requested)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-11s %s\n", label, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", 14)))
		}
	}
	line("reason", d.Reason)
	for _, m := range d.Messages {
		line("message", m)
	}
	for _, w := range d.Warnings {
		line("warning", w)
	}
	line("source", d.Source)
	line("rule", d.Rule)
	line("policy", identityText(d.Policy))
	if d.Overlay != nil {
		line("overlay", identityText(*d.Overlay))
	}
	for _, o := range obligationLines(d.Obligations) {
		line(o.label, o.text)
	}
	switch d.Verdict {
	case policy.Deny:
		allowed := "nothing"
		if len(d.Allowed) > 0 {
			allowed = strings.Join(d.Allowed, "\n")
		}
		line("allowed", allowed)
		line("contact", d.Contact)
	case policy.Undecidable:
		line("to decide", "give the digest with --digest")
	}
	return b.String()
}

// labelled is a line for a person.
type labelled struct{ label, text string }

// obligationLines says under which conditions a frontend may run; the texts of
// those that don't hold are empty.
func obligationLines(o policy.Obligations) []labelled {
	var force []string
	for _, k := range slices.Sorted(maps.Keys(o.Force)) {
		force = append(force, fmt.Sprintf("%s=%q", k, o.Force[k]))
	}
	lines := []labelled{
		{"digests", strings.Join(o.Digests, "\n")},
		{"removes", strings.Join(o.Strip, "\n")},
		{"sets", strings.Join(force, "\n")},
		{"refuses", strings.Join(o.Deny, "\n")},
		{"lets pass", strings.Join(o.Only, "\n")},
	}
	if o.RequireDigest {
		lines = append(lines, labelled{"requires", "a digest in the reference"})
	}
	if o.Inputs == policy.ActionDeny {
		lines = append(lines, labelled{"inputs", "none"})
	}
	return lines
}

func identityText(id policy.Identity) string {
	return strings.TrimSpace(id.ID + " " + id.Digest.String())
}
