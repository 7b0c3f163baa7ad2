package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every example of docs/policy.md is a policy that lint can read, and answers as
// the table under it says.
func TestTheExamplesOfPolicyMd(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (allow|deny|warn|undecidable) \\|$")
	blocks := strings.Split(string(data), "```yaml\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		doc, rest, ok := strings.Cut(block, "```\n")
		require.True(t, ok)
		rows := row.FindAllStringSubmatch(rest, -1)
		require.NotEmpty(t, rows, "no answers under\n%s", doc)
		file := write(t, "policy.yaml", doc)
		for _, r := range rows {
			args := append([]string{"eval", "--policy", file, "--format", "json"}, strings.Fields(r[1])...)
			_, stdout, stderr := run(args...)
			var d struct{ Verdict, Reason string }
			require.NoError(t, json.Unmarshal([]byte(stdout), &d), "%s\n%s", r[1], stderr)
			require.Equal(t, r[2], d.Verdict, "%s: %s\n%s", r[1], d.Reason, doc)
		}
	}
}
