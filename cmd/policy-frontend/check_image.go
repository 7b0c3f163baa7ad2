//go:build image

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newCheckCommand returns a command that says why the image's program has no check. The readers of
// bake files would add to the image's size, and a build needs none.
func newCheckCommand() *cobra.Command {
	const install = "go install github.com/policy-frontend/policy-frontend/cmd/policy-frontend@latest"
	return &cobra.Command{
		Use:                "check",
		Short:              "Say what a policy would refuse in build files (not in the image)",
		Example:            "  " + install,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &exitError{exitUsage, errors.New("the image doesn't include check, so that the image " +
				"stays small; install the complete program with: " + install)}
		},
	}
}
