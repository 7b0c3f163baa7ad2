package main

import (
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [policy | test | operations | record]",
		Short: "Print the JSON Schema of policies and other files",
		Long: `schema prints the JSON Schema of a kind of file: of policies, of the cases of the command
test, of the operations of eval --build, or of a line of policy-guard's record of builds.
The default is policies. With it, an editor can complete fields and mark mistakes. The
schema can't express every rule, so also check policies with lint.`,
		Example: `  policy-frontend schema > policy.schema.json
  policy-frontend schema test > test.schema.json
  policy-frontend schema operations > operations.schema.json
  policy-frontend schema record > record.schema.json`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"policy", "test", "operations", "record"},
		RunE: func(cmd *cobra.Command, args []string) error {
			schema := policy.Schema()
			if len(args) > 0 && args[0] == "test" {
				schema = policytest.Schema()
			}
			if len(args) > 0 && args[0] == "operations" {
				schema = opcheck.Schema()
			}
			if len(args) > 0 && args[0] == "record" {
				schema = record.Schema()
			}
			if _, err := cmd.OutOrStdout().Write(schema); err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		},
	}
}
