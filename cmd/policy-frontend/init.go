//go:build !image

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/buildfiles"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/survey"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newInitCommand() *cobra.Command {
	var f checkFlags
	var output string
	cmd := &cobra.Command{
		Use:   "init [flags] [PATH...]",
		Short: "Write a policy that allows what build files use",
		Long: `init reads build files, as check does, and writes a policy that allows what they use:

  - the frontends, by their repositories;
  - base images and other images, by their repositories;
  - downloads and git repositories, by scheme, host and first directory;
  - secrets, ssh agents, the host's network and so on, as far as a command uses them.

All other sources are refused. A comment says where each entry was found, and how often.
The policy is a draft: read each entry, and delete what nobody should use.

What can't be known offline isn't in the policy: what a base image's ONBUILD adds, what a
build-arg without a default names, and what frontends other than docker/dockerfile do.
init names files that it can't read on stderr.

init checks the same build files with the policy, and tells how much it still refuses.

Exit codes:
  0  the policy is written, and refuses nothing of the build files
  1  the policy is written, and refuses something that no entry can allow
  2  wrong usage, no build file, or a file that can't be written`,
		Example: `  policy-frontend init > policy.yaml
  policy-frontend init --output draft.yaml repositories`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			text, refused, err := f.draft(cmd.Context(), args, cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := writeNew(output, text, cmd.OutOrStdout()); err != nil {
				return &exitError{exitUsage, err}
			}
			if refused > 0 {
				return &exitError{exitRefused, fmt.Errorf("the policy still refuses %s; run "+
					"policy-frontend check with it", several(refused, "use"))}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "",
		"write the policy to this new `FILE`, not to stdout")
	f.addClient(cmd)
	return cmd
}

// draftBase is the policy under which build files are read for a draft. It allows everything.
const draftBase = "version: 1\ndefault: allow\ndefaultFrontend: " + survey.DefaultFrontend + "\n"

// draft returns a policy for the builds at the paths, and how many of their uses it refuses.
func (f *checkFlags) draft(
	ctx context.Context, paths []string, stdin io.Reader, stderr io.Writer,
) (text []byte, refused int, err error) {
	opts, err := f.clientOptions()
	if err != nil {
		return nil, 0, err
	}
	for k := range opts {
		if optionkeys.IsOwn(k) {
			return nil, 0, fmt.Errorf("--opt %s: init takes no overlay", k)
		}
	}
	found, err := findAll(paths, opts, stdin)
	if err != nil {
		return nil, 0, err
	}
	s, err := surveyOf([]byte(draftBase))
	if err != nil {
		return nil, 0, err
	}
	results := make([]survey.Result, len(found.Builds))
	uses := make([][]survey.Use, len(found.Builds))
	each(found.Builds, newProgress(stderr, len(found.Builds)), func(i int, b buildfiles.Build) {
		uses[i], results[i] = s.Uses(ctx, b)
	})
	report := newCheckReport(results, found.Problems)
	for _, r := range report.findings {
		fmt.Fprintf(stderr, "%s: unknown: %s\n", placeIn(r.File, r.Line), report.message(r))
	}
	for _, b := range report.broken {
		fmt.Fprintf(stderr, "%s: unreadable: %s\n", placeIn(b.File, b.Line), safetext.Lines(b.Message))
	}
	var all []survey.Use
	for _, u := range uses {
		all = append(all, u...)
	}
	if len(all) == 0 {
		return nil, 0, &exitError{exitUsage, fmt.Errorf("no build file can be read")}
	}
	text = survey.Draft(all)
	if s, err = surveyOf(text); err != nil {
		return nil, 0, fmt.Errorf("internal: the policy isn't valid: %w", err)
	}
	checked := checkBuilds(ctx, s, found.Builds, newProgress(stderr, len(found.Builds)))
	return text, newCheckReport(checked, nil).count(policy.Deny), nil
}

// surveyOf returns a survey with a policy.
func surveyOf(text []byte) (*survey.Survey, error) {
	p, err := policy.Parse("policy.yaml", text)
	if err != nil {
		return nil, err
	}
	layers, err := policy.Stack(p, nil)
	return &survey.Survey{Layers: layers, Policies: []*policy.Policy{p}, Time: time.Now()}, err
}

// writeNew writes a file that isn't there yet, or to stdout without a name.
func writeNew(name string, data []byte, stdout io.Writer) error {
	if name == "" {
		_, err := stdout.Write(data)
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, newFileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
