//go:build image

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newLockCommand says why the program in the image can't lock: the registry
// client would be a twentieth of the image, which has no CA certificates to reach
// a registry with, nor the user's credentials.
func newLockCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "lock",
		Short:              "Pin the tags that policies allow (not in the image)",
		Example:            "  go install github.com/policy-frontend/policy-frontend/cmd/policy-frontend@latest",
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return &exitError{exitUsage, errors.New("lock is not in the image, which has no CA certificates and no registry credentials; install the program with: go install github.com/policy-frontend/policy-frontend/cmd/policy-frontend@latest")}
		},
	}
}
