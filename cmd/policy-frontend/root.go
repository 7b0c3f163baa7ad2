package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes. Scripts rely on them.
const (
	exitOK          = 0
	exitDeny        = 1 // eval, explain: the frontend or an operation is denied
	exitFindings    = 1 // lint: there are findings; test: a case failed; diff: something widened
	exitRefused     = 1 // check: something is refused
	exitMoved       = 1 // lock --check: a pin is missing or has moved
	exitUsage       = 2 // wrong usage, or a file that can't be read, used or written
	exitUndecidable = 3 // eval, explain: the decision needs the digest
)

// exitError ends the program with a code. Without err, there is nothing left to print.
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

// exitWith returns the error that ends the program with the code, or nil for [exitOK].
func exitWith(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

// execute runs the command line and returns the exit code. Results go to stdout, errors to
// stderr.
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

// newRootCommand returns the command tree. Any error that isn't an *exitError is an error of
// usage.
func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy-frontend",
		Short: "Enforce a policy on which BuildKit frontends run and what they build",
		Long: `policy-frontend is a gateway frontend for BuildKit. It enforces a policy on which
other frontends a build may run, and on what those frontends may build. BuildKit starts
it from its image, without arguments.

On the command line, it evaluates, tests, checks and compares policies.`,
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
		newCheckCommand(),
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

// exactly is for commands that take n arguments. noun says what these are.
func exactly(n int, noun string) cobra.PositionalArgs {
	words := map[int]string{1: "one", 2: "two"}
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("give exactly %s %s, not %d", words[n], noun, len(args))
		}
		return nil
	}
}

// someFiles is for commands that take policy files.
func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("give at least one policy file")
	}
	return nil
}

// noCompletions keeps shells from completing the flag's value with file names.
func noCompletions(cmd *cobra.Command, flag string) {
	// It fails only for a flag that doesn't exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
}

// completeYAML lets a shell complete the flags' values with YAML files.
func completeYAML(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		// It fails only for a flag that doesn't exist.
		_ = cmd.MarkFlagFilename(name, "yaml", "yml", "json")
	}
}

// yamlFiles completes arguments that are policy files.
func yamlFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}
