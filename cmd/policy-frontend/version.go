package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/policy"
)

// version is stamped by the linker with -X main.version=….
var version string

// versionInfo is what version prints as JSON.
type versionInfo struct {
	Version  string `json:"version"`
	Language int    `json:"language"` // of policies
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCommand() *cobra.Command {
	format := formatText
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program and of the policy language",
		Long: `version prints the version of this program, that of the policy language which it
reads, and the Go version and the platform that it was built for.`,
		Example: `  policy-frontend version
  policy-frontend version --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format, formatText, formatJSON); err != nil {
				return err
			}
			if err := printVersion(cmd.OutOrStdout(), format); err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		},
	}
	addFormatFlag(cmd, &format, "how to print it", formatText, formatJSON)
	return cmd
}

func printVersion(w io.Writer, format string) error {
	v := versionInfo{
		Version:  programVersion(),
		Language: policy.Version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if format == formatJSON {
		return json.NewEncoder(w).Encode(v)
	}
	_, err := fmt.Fprintf(w, "policy-frontend %s (policy language %d, %s, %s)\n", v.Version, v.Language, v.Go, v.Platform)
	return err
}

// programVersion is the stamped version, else the one that the go command knows.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
