package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes; scripts rely on them.
const (
	exitOK          = 0
	exitDeny        = 1 // eval: denied
	exitFindings    = 1 // lint: there are findings
	exitUsage       = 2 // usage, or a policy that can't be read or used
	exitUndecidable = 3 // eval: the decision needs the digest
)

// exitError ends the program with a code. Without err, everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// execute runs the command line and returns the exit code. Results go to stdout,
// errors to stderr.
func execute(args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand(stdout, stderr)
	cmd.SetArgs(args)
	ran, err := cmd.ExecuteC()
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(stderr, exit.err)
		}
		return exit.code
	}
	fmt.Fprintf(stderr, "%s: %v\nSee %[1]s --help\n", ran.CommandPath(), err)
	return exitUsage
}

// newRootCommand returns the command tree. All errors but exitError are errors of usage.
func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy-frontend",
		Short: "Decide by policy which BuildKit frontend may run",
		Long: `policy-frontend is a gateway frontend for BuildKit that decides by policy which
frontend a build may run. BuildKit starts it from its image, without arguments.

Started by hand, it tries out and checks policies.`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend lint policy.yaml`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.AddCommand(newEvalCommand(), newLintCommand(), newSchemaCommand(), newVersionCommand())
	return cmd
}

// checkFormat checks the value of a --format flag.
func checkFormat(format string) error {
	if format != formatText && format != formatJSON {
		return fmt.Errorf("--format must be %s or %s, not %q", formatText, formatJSON, format)
	}
	return nil
}

const (
	formatText = "text"
	formatJSON = "json"
)
