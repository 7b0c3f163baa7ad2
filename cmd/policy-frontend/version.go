package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
)

// version is set by the linker with -X main.version=….
var version string

// versionInfo is the JSON output of version.
type versionInfo struct {
	Version  string `json:"version"`
	Language int    `json:"language"` // of policies
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand() *cobra.Command {
	out := newOutput("the version",
		asText(func(v versionInfo) string {
			return fmt.Sprintf("policy-frontend %s (policy language %d, %s, %s)\n",
				v.Version, v.Language, v.Go, v.Platform)
		}),
		asJSON(func(v versionInfo) any { return v }),
	)
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the policy language",
		Long: `version prints the version of this program and of the policy language that it reads. It
also prints the Go version and the platform for which the program was built.`,
		Example: `  policy-frontend version
  policy-frontend version --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), versionInfo{
				Version:  programVersion(),
				Language: policy.Version,
				Go:       runtime.Version(),
				Platform: runtime.GOOS + "/" + runtime.GOARCH,
			})
		},
	}
	out.add(cmd)
	return cmd
}

// programVersion returns the version that the linker set, or else that of the Go module.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
