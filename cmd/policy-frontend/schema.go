package main

import (
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies, for editors",
		Long: `schema prints the JSON Schema of policies. An editor that knows it completes
fields and marks mistakes; what a policy is, lint and eval decide.`,
		Example: `  policy-frontend schema > policy.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(policy.Schema())
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		},
	}
}
