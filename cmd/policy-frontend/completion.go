package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "fish", "powershell", "zsh"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands in a shell",
		Long: `completion prints a script with which a shell completes the commands, flags and files of
policy-frontend. SHELL is bash, fish, powershell or zsh.

Load the script when the shell starts:

  bash        from a file in the directory for completions; needs the package
              bash-completion
  zsh         from a file in a directory of $fpath
  fish        from ~/.config/fish/completions/policy-frontend.fish
  powershell  from the profile`,
		Example: `  policy-frontend completion bash > policy-frontend.bash
  policy-frontend completion zsh > _policy-frontend`,
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := writeCompletion(cmd.Root(), args[0], cmd.OutOrStdout()); err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the script: %w", err)}
			}
			return nil
		},
	}
}

func writeCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	case "zsh":
		return root.GenZshCompletion(w)
	}
	return fmt.Errorf("there is no completion for %q", shell)
}
