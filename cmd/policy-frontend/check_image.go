//go:build image

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	return newMissingCommand("check", "Say what a policy would refuse in build files (not in the image)")
}

func newInitCommand() *cobra.Command {
	return newMissingCommand("init", "Write a policy that allows what build files use (not in the image)")
}

// newMissingCommand returns a command that says why the image's program hasn't it. The readers of
// bake files would add to the image's size, and a build needs none.
func newMissingCommand(name, short string) *cobra.Command {
	const install = "go install github.com/policy-frontend/policy-frontend/cmd/policy-frontend@latest"
	return &cobra.Command{
		Use:                name,
		Short:              short,
		Example:            "  " + install,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &exitError{exitUsage, errors.New("the image doesn't include " + name + ", so that the " +
				"image stays small; install the complete program with: " + install)}
		},
	}
}
