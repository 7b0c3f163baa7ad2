package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
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
	if _, err := io.WriteString(w, decisionText(d)); err != nil {
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

// decisionText writes a decision for a person.
func decisionText(d policy.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", d.Verdict, d.Requested)
	line := func(label, text string) { printLine(&b, label, text) }
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
	if d.Dispatch != "" && (d.Dispatch != policy.DispatchForward || len(d.Obligations.Build) > 0) {
		line("dispatch", string(d.Dispatch))
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

// printLine writes a line for a person, unless it has no text.
func printLine(b *strings.Builder, label, text string) {
	if text != "" {
		fmt.Fprintf(b, "  %-11s %s\n", label, strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", 14)))
	}
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
	for _, h := range o.Build {
		lines = append(lines, labelled{"builds", heldText(h)})
	}
	return lines
}

// heldText says which kinds of things a layer has rules on.
func heldText(h policy.BuildObligation) string {
	kinds := h.Build.Kinds()
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	text := fmt.Sprintf("under the %s's rules on %s", h.Layer, strings.Join(words, ", "))
	if h.Mode == policy.ModeWarn {
		text += ", which only warn"
	}
	return text
}

func identityText(id policy.Identity) string {
	return strings.TrimSpace(id.ID + " " + id.Digest.String())
}
