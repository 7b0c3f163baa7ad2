package imageref

import (
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// ParseRenamed reads a side of a renaming: the name of one repository, or a name with "/**"
// at the end, for everything below a directory. Errors are those of [ParsePattern].
func ParseRenamed(s string) (Pattern, error) {
	if base := strings.TrimSuffix(s, "/**"); strings.Contains(base, "*") {
		return Pattern{},
			fmt.Errorf("%s is not one repository; write its name, or /** at the end of both from and to",
				safetext.Quote(s))
	}
	return ParsePattern(s)
}

// IsDirectory reports whether the pattern matches everything below a directory.
func (p Pattern) IsDirectory() bool { return strings.HasSuffix(p.text, "/**") }

// Rename replaces one repository with another, or a directory with another. Both patterns are
// of [ParseRenamed], and both are directories or neither is. Rename returns false if the name
// doesn't match from. The name is in canonical form.
func Rename(from, to Pattern, name string) (string, bool) {
	directory, ok := strings.CutSuffix(from.text, "**")
	if !ok {
		return to.text, name == from.text
	}
	rest, ok := strings.CutPrefix(name, directory)
	return strings.TrimSuffix(to.text, "**") + rest, ok
}
