//go:build image

package main

import "github.com/spf13/cobra"

// newVerifyCommand returns a command that says why the image's program has no verify. It needs the
// registry client, as lock does.
func newVerifyCommand() *cobra.Command {
	return notInImage("verify", "Say what the signed summaries of an image prove (not in the image)")
}
