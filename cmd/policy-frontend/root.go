package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// Exit codes; scripts rely on them.
const (
	exitOK          = 0
	exitDeny        = 1 // eval, explain: denied
	exitFindings    = 1 // lint: there are findings; test: cases failed; diff: something widened
	exitMoved       = 1 // lock --check: pins are missing or have moved
	exitUsage       = 2 // usage, or a policy that can't be read or used
	exitUndecidable = 3 // eval, explain: the decision needs the digest
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

Started by hand, it tries out, tests, checks and compares policies.`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend lint policy.yaml
  policy-frontend help explain`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.AddCommand(
		newEvalCommand(),
		newExplainCommand(),
		newTestCommand(),
		newLintCommand(),
		newDiffCommand(),
		newLockCommand(),
		newExportCommand(),
		newSchemaCommand(),
		newVersionCommand(),
		newCompletionCommand(),
	)
	return cmd
}

const (
	formatText   = "text"
	formatJSON   = "json"
	formatJUnit  = "junit"
	formatSARIF  = "sarif"
	formatGitHub = "github"
)

// checkFormat checks the value of a --format flag.
func checkFormat(format string, known ...string) error {
	if !slices.Contains(known, format) {
		return fmt.Errorf("--format must be %s, not %q", safetext.Or(known), format)
	}
	return nil
}

// addFormatFlag adds the flag for the format of what is printed.
func addFormatFlag(cmd *cobra.Command, format *string, what string, known ...string) {
	cmd.Flags().StringVar(format, "format", *format, what+": "+safetext.Or(known))
	// It fails only for a flag that isn't there.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp))
}

// completeYAML lets a shell complete the values of the flags with YAML files.
func completeYAML(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		_ = cmd.MarkFlagFilename(name, "yaml", "yml", "json") // It fails only for a flag that isn't there.
	}
}

// yamlFiles completes arguments that are files with a policy.
func yamlFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}
