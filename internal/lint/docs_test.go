package lint_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
)

// docs/lint.md has a section for each code, in order, that begins with its level, and
// the source has no code that Codes leaves out.
func TestEachCodeHasASection(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/lint.md")
	require.NoError(t, err)
	var sections []lint.Code
	for _, section := range strings.Split(string(data), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n\n")
		code := lint.Code(title)
		sections = append(sections, code)
		level, _, _ := strings.Cut(text, ".\n")
		require.Equal(t, string(code.Level()), strings.ToLower(level), title)
		require.Greater(t, len(text), 40, title)
	}
	require.Equal(t, lint.Codes(), sections)

	source, err := os.ReadFile("codes.go")
	require.NoError(t, err)
	require.Len(t, regexp.MustCompile(`(?m)^\t\w+ Code = "`).FindAll(source, -1), len(lint.Codes()))
}
