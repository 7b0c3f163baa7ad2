package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/cli again")

const docsDir = "../../docs/cli"

// The pages in docs/cli are generated from the commands' help. To update them, run
//
//	go test ./cmd/policy-frontend -run TestHelpPages -update
func TestHelpPages(t *testing.T) {
	t.Parallel()
	pages := map[string]string{"README.md": indexPage()}
	for _, cmd := range commands()[1:] {
		pages[cmd.Name()+".md"] = page(cmd)
	}
	if *update {
		require.NoError(t, os.MkdirAll(docsDir, 0o755))
		for name, text := range pages {
			require.NoError(t, os.WriteFile(filepath.Join(docsDir, name), []byte(text), 0o644))
		}
	}
	entries, err := os.ReadDir(docsDir)
	require.NoError(t, err)
	for _, e := range entries {
		require.Contains(t, pages, e.Name(), "the page has no command; remove it")
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(docsDir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got),
			"%s differs from the command's help; run this test with -update", name)
	}
}

// Every help text begins with the command and fits a terminal.
func TestHelpIsComplete(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands()[1:] {
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.True(t, strings.HasPrefix(cmd.Long, cmd.Name()+" "),
			"%s: the text begins with the command's name", cmd.Name())
		for _, line := range strings.Split(cmd.Short+"\n"+cmd.Long, "\n") {
			require.LessOrEqual(t, len(line), 90, line)
		}
	}
}

func indexPage() string {
	var b strings.Builder
	root := commands()[0]
	fmt.Fprintf(&b, "# %s\n\n%s\n\n| command | |\n|---|---|\n", root.Name(), root.Long)
	for _, cmd := range root.Commands() {
		fmt.Fprintf(&b, "| [%s](%[1]s.md) | %s |\n", cmd.Name(), cmd.Short)
	}
	fmt.Fprintf(&b, "\n## Flags\n\n```text\n%s```\n", root.LocalFlags().FlagUsages())
	b.WriteString("\n`policy-frontend help COMMAND` prints the same text.\n" +
		"These pages are generated; to update them, run `go test ./cmd/policy-frontend -run TestHelpPages -update`.\n")
	return b.String()
}

func page(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
	fmt.Fprintf(&b, "```\n%s\n```\n\n```text\n%s\n```\n", cmd.UseLine(), cmd.Long)
	if flags := cmd.LocalFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(&b, "\n## Flags\n\n```text\n%s```\n", flags)
	}
	var lines []string
	for _, l := range strings.Split(cmd.Example, "\n") {
		lines = append(lines, strings.TrimSpace(l))
	}
	fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", strings.Join(lines, "\n"))
	return b.String()
}
