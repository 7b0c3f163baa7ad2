package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newEvalCommand() *cobra.Command {
	var f requestFlags
	var built buildFlags
	format := formatText
	cmd := &cobra.Command{
		Use:   "eval [flags] REF",
		Short: "Decide whether a frontend may run and build something, without a build",
		Long: `eval decides whether the frontend REF may run, with no network and no build.

The answer is the one that a build with the same options, at the same time, gets.
Three things can't be seen here: what a tag points to, unless --digest says it;
under which name the policy frontend itself runs, so that a REF that names it is
judged like any other; and named contexts that would replace it.

A tag beside a digest is believed, and a message says so; in a build the tag is
looked up and must point to the digest if the decision depends on it.

With --build or --llb, it also says of each thing that the frontend would ask for
whether the policy's rules on builds let it pass. A file of operations:

  - image: busybox:1
  - git: {url: "https://git.example/a", ref: main}
  - http: {url: "https://files.example/a", checksum: "sha256:..."}
  - exec: {network: host, secrets: [npm]}
  - frontend: docker/dockerfile:1
  - config: {user: app, labels: {a: b}}

and local, ociLayout, blob and container. LLB is what frontends make of a build file;
what it asks for is answered once for each line of that file.

With --format json, the decision is the object that a build leaves in its result's
metadata under frontend.policy.decision. With operations, it has them under build.

Exit code: 0 allow or warn, 1 if the frontend or an operation is denied, 2 wrong usage
or an invalid policy, 3 undecidable because the decision needs the digest of an image.`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --overlay team.yaml --format json docker/dockerfile:1.7
  policy-frontend eval --policy policy.yaml --opt build-arg:HTTP_PROXY=http://proxy --input base docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --build operations.yaml docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --llb build.llb --format json docker/dockerfile:1
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
			list, err := built.read()
			if err != nil {
				return err
			}
			d := policy.Decide(layers, request)
			answers, err := judge(layers, request.Time, d, list)
			if err == nil {
				err = printDecision(cmd.OutOrStdout(), d, answers, built.given(), format)
			}
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the decision: %w", err)}
			}
			return verdictError(worst(d.Verdict, answers))
		},
	}
	f.add(cmd)
	built.add(cmd)
	addFormatFlag(cmd, &format, "how to print the decision", formatText, formatJSON)
	return cmd
}

// printDecision prints the decision, and what was answered about operations if there were
// some.
func printDecision(w io.Writer, d policy.Decision, answers []opcheck.Answer, operations bool, format string) error {
	switch {
	case format == formatJSON && operations:
		return printJSON(w, struct {
			policy.Decision
			Build []opcheck.Answer `json:"build"`
		}{d, answers})
	case format == formatJSON:
		return printJSON(w, d)
	}
	if _, err := io.WriteString(w, d.Text("")+"\n"); err != nil {
		return err
	}
	return printAnswers(w, answers)
}

// printJSON writes v in one line, with characters such as < as they are.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printLine writes a line for a person as [policy.Decision.Text] does, unless it has no text.
func printLine(b *strings.Builder, label, text string) {
	if text != "" {
		fmt.Fprintf(b, "  %-13s %s\n", label+":", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", 16)))
	}
}
