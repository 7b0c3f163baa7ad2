package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/export"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// exportFlags are the flags of export.
type exportFlags struct {
	format, output, at string
	strict, losses     bool
	images             []string
}

func newExportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export --format FORMAT [flags] POLICY",
		Short: "Convert a policy to formats that BuildKit clients and daemons enforce themselves",
		Long: `export writes as much of a policy as another program can enforce itself:

  source-policy  BuildKit's source policy, for buildctl build --source-policy-file
                 and buildx's EXPERIMENTAL_BUILDKIT_SOURCE_POLICY
  buildkitd      a part of buildkitd.toml: the repositories that may be frontends
  rego           a policy for buildx build --policy

No format can express a whole policy. export reports every difference on stderr, one on
each line, and its effect: "refuses more" or "allows more" than the policy, or "differs".
With --strict, it omits every rule that the format can't fully express, so the output
never allows more than the policy. If the output allows more, export still writes it, with
a comment for each loss where the format has comments, and exits with 1.
--accept-losses says that this is intended.

A Rego policy can't tell frontends from base images, so it checks both. List the base
images that a build may use with --image.

Exit codes:
  0  written
  1  written, but the output allows more than the policy, and neither --strict nor
     --accept-losses is given
  2  wrong usage, an invalid policy, or a file that can't be written`,
		Example: `  policy-frontend export --format source-policy --output source-policy.json policy.yaml
  policy-frontend export --format buildkitd --strict policy.yaml
  policy-frontend export --format buildkitd --accept-losses policy.yaml
  policy-frontend export --format rego --image 'library/*' --output policy.rego policy.yaml`,
		Args:              exactly(1, "policy file"),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	addFormatFlag(cmd, &f.format, "what to write", exportFormats())
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "the `FILE` to write instead of stdout; - is stdout")
	addAtFlag(cmd, &f.at)
	cmd.Flags().BoolVar(&f.strict, "strict", false,
		"omit what the format can't fully express, so the output never allows more than the policy")
	cmd.Flags().BoolVar(&f.losses, "accept-losses", false,
		"exit with 0 although the output allows more than the policy")
	cmd.Flags().StringArrayVar(&f.images, "image", nil,
		"a `PATTERN`, as in match, for base images that a build may use; rego only; repeatable")
	return cmd
}

func exportFormats() []string {
	return []string{string(export.SourcePolicy), string(export.Buildkitd), string(export.Rego)}
}

func (f *exportFlags) run(file string, stdout, stderr io.Writer) error {
	if f.format == "" {
		return fmt.Errorf("--format is missing; give %s", safetext.Or(exportFormats()))
	}
	if err := checkFormat(f.format, exportFormats()); err != nil {
		return err
	}
	if len(f.images) > 0 && f.format != string(export.Rego) {
		return fmt.Errorf("--image is only for --format %s; %s doesn't restrict base images", export.Rego,
			f.format)
	}
	at, err := parseAt(f.at)
	if err != nil {
		return err
	}
	p, err := loadPolicy(file)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	file = shownName(file)
	options := export.Options{Time: at, Strict: f.strict, Images: f.images}
	out, err := export.Export(p.Policy, export.Format(f.format), options)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s: %w", file, err)}
	}
	for _, n := range out.Notes {
		fmt.Fprintln(stderr, noteText(file, p, n))
	}
	if f.output != "" && f.output != "-" {
		err = writeFile(f.output, out.Data)
	} else {
		_, err = stdout.Write(out.Data)
	}
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("writing the export: %w", err)}
	}
	if out.Looser() && !f.losses {
		return &exitError{exitFindings, errors.New("the output allows more than the policy; omit what " +
			"it can't express with --strict, or accept that with --accept-losses")}
	}
	return nil
}

// noteText returns one line about a difference between a policy and its export.
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
