package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/policy"
)

// overlayOption is the frontend option that carries an overlay.
const overlayOption = "build-arg:POLICY_FRONTEND_POLICY"

// rfc3339 is the form of a time; time.Parse takes more, such as an hour of one
// digit (golang/go#54580).
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// evalFlags are the flags of eval.
type evalFlags struct {
	policy, overlay, digest, at, format string
	options                             []string
}

func newEvalCommand() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval [flags] REF",
		Short: "Decide whether a frontend may run, without a build",
		Long: `eval decides whether the frontend REF may run, with no network and no build.

Exit code: 0 allow, 1 deny, 2 wrong usage or an invalid policy, 3 undecidable
because the decision needs the digest of the image; give it with --digest.

A tag beside a digest is believed here, and a message says so; in a build the tag
is looked up and must point to the digest if the decision depends on it.`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --overlay team.yaml --format json docker/dockerfile:1.7
  policy-frontend eval --policy policy.yaml --opt build-arg:POLICY_FRONTEND_POLICY="$(cat team.yaml)" docker/dockerfile:1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("give exactly one reference, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(args[0], cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&f.policy, "policy", frontend.DefaultPolicyPath, "the policy `FILE`")
	cmd.Flags().StringVar(&f.overlay, "overlay", "", "a `FILE` with a policy on top, as a client may send one")
	cmd.Flags().StringArrayVar(&f.options, "opt", nil, "a frontend option `KEY=VALUE` as a client would send it; may be repeated.\n"+
		overlayOption+" is the overlay; no rule looks at other options yet")
	cmd.Flags().StringVar(&f.digest, "digest", "", "the `DIGEST` to which the reference resolves")
	cmd.Flags().StringVar(&f.at, "at", "", "the `TIME` of the decision as in 2027-01-31T12:00:00Z; no rule depends on time yet")
	cmd.Flags().StringVar(&f.format, "format", formatText, "how to print the decision: text or json")
	return cmd
}

func (f *evalFlags) run(arg string, stdout io.Writer) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if f.at != "" {
		if _, err := time.Parse(time.RFC3339, f.at); err != nil || !rfc3339.MatchString(f.at) {
			return fmt.Errorf("--at needs a time as in 2027-01-31T12:00:00Z, not %q", f.at)
		}
	}
	request, err := f.request(arg)
	if err != nil {
		return err
	}
	sent, err := f.sentOverlay()
	if err != nil {
		return err
	}
	layers, err := f.layers(sent)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	d := policy.Decide(layers, request)
	if err := printDecision(stdout, d, f.format); err != nil {
		return &exitError{exitUsage, fmt.Errorf("printing the decision: %w", err)}
	}
	switch d.Verdict {
	case policy.Allow:
		return nil
	case policy.Undecidable:
		return &exitError{code: exitUndecidable}
	}
	return &exitError{code: exitDeny}
}

func (f *evalFlags) request(arg string) (policy.Request, error) {
	ref, err := policy.ParseReference(arg)
	if err != nil {
		return policy.Request{}, err
	}
	r := policy.Request{Requested: arg, Reference: ref}
	if f.digest != "" {
		if _, err := ref.WithDigest(digest.Digest(f.digest)); err != nil {
			return policy.Request{}, fmt.Errorf("--digest: %w", err)
		}
		r.Digest = digest.Digest(f.digest)
	}
	return r, nil
}

// sentOverlay returns the overlay among the options, or nil if there is none.
func (f *evalFlags) sentOverlay() (*string, error) {
	seen := map[string]string{}
	for _, o := range f.options {
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--opt needs KEY=VALUE, not %q", o)
		}
		if _, ok := seen[key]; ok {
			return nil, fmt.Errorf("--opt gives %q twice", key)
		}
		seen[key] = value
	}
	doc, ok := seen[overlayOption]
	if !ok {
		return nil, nil
	}
	if f.overlay != "" {
		return nil, fmt.Errorf("--overlay and --opt %s both give an overlay; give one", overlayOption)
	}
	return &doc, nil
}

func (f *evalFlags) layers(sent *string) (policy.Layers, error) {
	embedded, err := readPolicy(f.policy, policy.MaxSize, policy.Parse)
	if err != nil {
		return policy.Layers{}, err
	}
	var overlay *policy.Policy
	switch {
	case sent != nil:
		overlay, err = policy.ParseOverlay(strings.TrimPrefix(overlayOption, "build-arg:"), []byte(*sent))
	case f.overlay != "":
		overlay, err = readPolicy(f.overlay, policy.MaxOverlaySize, policy.ParseOverlay)
	}
	if err != nil {
		return policy.Layers{}, err
	}
	return policy.Stack(embedded, overlay)
}

func printDecision(w io.Writer, d policy.Decision, format string) error {
	if format == formatJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(d)
	}
	_, err := io.WriteString(w, decisionText(d))
	return err
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
	line("source", d.Source)
	line("rule", d.Rule)
	line("policy", identityText(d.Policy))
	if d.Overlay != nil {
		line("overlay", identityText(*d.Overlay))
	}
	line("digests", strings.Join(d.Obligations.Digests, "\n"))
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

func identityText(id policy.Identity) string {
	return strings.TrimSpace(id.ID + " " + id.Digest.String())
}
