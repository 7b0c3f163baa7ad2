package main

import (
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies, for editors",
		Long: `schema prints the JSON Schema of policies. With it, an editor can complete fields and
mark mistakes. The schema can't express every rule, so also check policies with lint.`,
		Example: `  policy-frontend schema > policy.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := cmd.OutOrStdout().Write(policy.Schema()); err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		},
	}
}
