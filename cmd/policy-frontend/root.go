package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/editdistance"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Exit codes. Scripts rely on them.
const (
	exitOK          = 0
	exitDeny        = 1 // eval, explain: the frontend or an operation is denied
	exitFindings    = 1 // lint: there are findings; test: a case failed; diff, export: it widens
	exitRefused     = 1 // check, init, record: something is or would be refused
	exitMoved       = 1 // lock --check: a pin is missing or has moved
	exitNothing     = 1 // verify: nothing is proven
	exitUsage       = 2 // wrong usage, or a file that can't be read, used or written
	exitUndecidable = 3 // eval, explain, record: the decision needs the digest
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
			fmt.Fprintln(stderr, errorText(ran, exit.err))
		}
		return exit.code
	}
	fmt.Fprintf(stderr, "%s: %v\nSee %[1]s --help\n", ran.CommandPath(), err)
	return exitUsage
}

// errorText returns an error for a person. The problems of a document begin with their place, so
// that editors find it; any other error begins with the command.
func errorText(cmd *cobra.Command, err error) string {
	var broken *policy.ParseError
	var document *strictyaml.Error
	if errors.As(err, &broken) || errors.As(err, &document) {
		return err.Error()
	}
	return cmd.CommandPath() + ": " + err.Error()
}

// suggestFlag adds to the error of an unknown flag the one that was probably meant.
func suggestFlag(cmd *cobra.Command, err error) error {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := editdistance.Nearest(name, names); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}

// newHelpCommand returns the command help. Unlike cobra's own, it fails for an unknown command.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		Long:  `help prints the help of a command, as COMMAND --help does.`,
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(
			*cobra.Command, []string, string,
		) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []string
			for _, c := range root.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return fmt.Errorf("unknown command %q for %q", rest[0], cmd.CommandPath())
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// policyFromGuard is the flag by which an image takes its policy from policy-guard.
const policyFromGuard = frontend.FlagPolicyFromGuard

// newRootCommand returns the command tree. Any error that isn't an *exitError is an error of
// usage.
func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy-frontend",
		Short: "Enforce a policy on which BuildKit frontends run and what they build",
		Long: `policy-frontend is a gateway frontend for BuildKit. It enforces a policy on which
other frontends a build may run, and on what those frontends may build. BuildKit starts
it from its image, without arguments or with --policy-from-guard.

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
	cmd.Version = programVersion()
	cmd.SetFlagErrorFunc(suggestFlag)
	cmd.Flags().Bool(policyFromGuard, false, "for the entrypoint of an image that only policy-guard "+
		"starts:\nits policy comes with each build")
	cmd.SetHelpCommand(newHelpCommand(cmd))
	cmd.AddCommand(
		newEvalCommand(),
		newExplainCommand(),
		newTestCommand(),
		newCheckCommand(),
		newInitCommand(),
		newLintCommand(),
		newDiffCommand(),
		newLockCommand(),
		newExportCommand(),
		newRecordCommand(),
		newSchemaCommand(),
		newVerifyCommand(),
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
func someFiles(cmd *cobra.Command, args []string) error { return some("policy file")(cmd, args) }

// some is for commands that take one argument or more. noun says what one is.
func some(noun string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("give at least one %s", noun)
		}
		return nil
	}
}

// noCompletions keeps shells from completing the flag's value with file names.
func noCompletions(cmd *cobra.Command, flag string) {
	// It fails only for a flag that doesn't exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions)
}

// complete lets a shell complete the flag's value with one of those that it can have.
func complete(cmd *cobra.Command, flag string, values []string) {
	// It fails only for a flag that doesn't exist.
	_ = cmd.RegisterFlagCompletionFunc(
		flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
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
