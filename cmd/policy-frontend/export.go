package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/export"
)

// exportFlags are the flags of export.
type exportFlags struct {
	format, output, at string
	strict             bool
	images             []string
}

func newExportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export --format FORMAT [flags] POLICY",
		Short: "Write a policy for clients and daemons that enforce by themselves",
		Long: `export writes what it can of a policy in the language of another program:

  source-policy  BuildKit's source policy, for buildctl build --source-policy-file
                 and buildx's EXPERIMENTAL_BUILDKIT_SOURCE_POLICY
  buildkitd      a part of buildkitd.toml: the repositories that may be frontends
  rego           a policy for buildx build --policy

No format holds all of a policy. What is lost is said on stderr, one line for each
thing, with what it does: "refuses more" or "allows more" than the policy, or
"differs". With --strict nothing allows more: what can't be held is left out.

Rego policies can't tell a frontend from a base image and judge every image alike;
--image names those that a build may use besides frontends.

Exit code: 0 written, 2 wrong usage, an invalid policy or a file that can't be written.`,
		Example: `  policy-frontend export --format source-policy --output source-policy.json policy.yaml
  policy-frontend export --format buildkitd --strict policy.yaml
  policy-frontend export --format rego --image 'library/*' --output policy.rego policy.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("give exactly one policy file, not %d", len(args))
			}
			return nil
		},
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addFormatFlag(cmd, &f.format, "what to write", string(export.SourcePolicy), string(export.Buildkitd), string(export.Rego))
	cmd.Flags().StringVar(&f.output, "output", "", "the `FILE` to write instead of stdout")
	cmd.Flags().StringVar(&f.at, "at", "", "the `TIME` that decides what has expired, as in 2027-01-31T12:00:00Z; now if left out")
	_ = cmd.RegisterFlagCompletionFunc("at", cobra.NoFileCompletions) // It fails only for a flag that isn't there.
	cmd.Flags().BoolVar(&f.strict, "strict", false, "leave out what the format can't hold fully, so that nothing allows more")
	cmd.Flags().StringArrayVar(&f.images, "image", nil, "a `PATTERN`, as in match, of images that a build may use besides frontends; rego only, may be repeated")
	return cmd
}

func (f *exportFlags) run(file string, stdout, stderr io.Writer) error {
	if f.format == "" {
		return fmt.Errorf("--format is missing; give %s, %s or %s", export.SourcePolicy, export.Buildkitd, export.Rego)
	}
	if err := checkFormat(f.format, string(export.SourcePolicy), string(export.Buildkitd), string(export.Rego)); err != nil {
		return err
	}
	if len(f.images) > 0 && f.format != string(export.Rego) {
		return fmt.Errorf("--image is for --format %s; %s doesn't restrict base images", export.Rego, f.format)
	}
	at, err := parseAt(f.at)
	if err != nil {
		return err
	}
	p, err := loadPolicy(file)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	out, err := export.Export(p.Policy, export.Format(f.format), export.Options{Time: at, Strict: f.strict, Images: f.images})
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s: %w", file, err)}
	}
	for _, n := range out.Notes {
		fmt.Fprintln(stderr, noteText(file, p, n))
	}
	if f.output != "" {
		err = writeFile(f.output, out.Data)
	} else {
		_, err = stdout.Write(out.Data)
	}
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("writing the export: %w", err)}
	}
	return nil
}

// noteText is one line about a difference between a policy and its export.
func noteText(file string, p document, n export.Note) string {
	at := file
	if n.Line > 0 {
		at = fmt.Sprintf("%s:%d", p.path(n.File), n.Line)
	}
	rule := ""
	if n.Rule != "" {
		rule = fmt.Sprintf("rule %q: ", n.Rule)
	}
	return fmt.Sprintf("%s: %s: %s%s", filepath.ToSlash(at), n.Effect, rule, n.Message)
}
