package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/lint"
)

func newLintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lint FILE...",
		Short: "Warn of what is valid in a policy but probably not meant",
		Long: `lint reads policies and overlays, and prints one line for each finding:
file, line and column, what happens and what to write instead, and a stable code.

Exit code: 0 nothing found, 1 findings, 2 a file that can't be read or is no policy.`,
		Example: `  policy-frontend lint policy.yaml
  policy-frontend lint policy.yaml teams/*.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give at least one policy file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			code := exitOK
			for _, file := range args {
				code = max(code, lintFile(file, cmd.OutOrStdout(), cmd.ErrOrStderr()))
			}
			if code != exitOK {
				return &exitError{code: code}
			}
			return nil
		},
	}
}

// lintFile prints a file's findings to stdout, and why it is no policy to stderr.
// It returns the exit code for this file.
func lintFile(file string, stdout, stderr io.Writer) int {
	p, err := readPolicy(file, policy.MaxSize, policy.Parse)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	findings := lint.Check(p)
	for _, f := range findings {
		at := file
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", file, f.Line, f.Column)
		}
		rule := ""
		if f.Rule != "" {
			rule = fmt.Sprintf("rule %q: ", f.Rule)
		}
		fmt.Fprintf(stdout, "%s: %s%s (%s)\n", at, rule, f.Message, f.Code)
	}
	if len(findings) > 0 {
		return exitFindings
	}
	return exitOK
}
