//go:build image

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newLockCommand returns a command that says why the image's program has no lock. The registry
// client would add a twentieth to the image's size. And the image has no CA certificates for
// connecting to a registry, and no credentials.
func newLockCommand() *cobra.Command {
	return notInImage("lock", "Pin the tags that policies allow (not in the image)")
}

// notInImage returns a command that says that the image's program doesn't have it.
func notInImage(name, short string) *cobra.Command {
	const install = "go install github.com/policy-frontend/policy-frontend/cmd/policy-frontend@latest"
	return &cobra.Command{
		Use:                name,
		Short:              short,
		Example:            "  " + install,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &exitError{exitUsage, errors.New("the image doesn't include " + name + ", because it " +
				"has no CA certificates and no registry credentials; install the complete program with: " +
				install)}
		},
	}
}
