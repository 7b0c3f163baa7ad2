package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// MaxProblems is how many problems one [Error] lists.
const MaxProblems = 10

// maxCollected is how many problems of one document are sorted to find the first ones.
const maxCollected = 1000

// Problem is one mistake in a document.
type Problem struct {
	// File is the name that was given to [Decode].
	File string
	// Line and Column count from 1; columns are characters. Column is 0 for a YAML syntax
	// error of no known kind. Both are 0 for a problem of the whole document.
	Line, Column int
	// Message says what is wrong and, where possible, what to do.
	Message string
}

// String returns "file:line:column: message".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(safetext.Printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	return b.String() + ": " + p.Message
}

// Error lists the mistakes in a document.
type Error struct {
	// Problems are ordered by position; at least one, at most [MaxProblems].
	Problems []Problem
	// Omitted is how many more there are.
	Omitted int
}

// NewError returns an error that lists the first of the problems, and counts the others
// with those that were omitted before. It returns nil if there are no problems.
func NewError(problems []Problem, omitted int) *Error {
	if len(problems) == 0 {
		return nil
	}
	shown := problems[:min(len(problems), MaxProblems)]
	return &Error{Problems: shown, Omitted: omitted + len(problems) - len(shown)}
}

// Error returns one line for each problem, and one that counts the omitted ones.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.Omitted))
	}
	return strings.Join(lines, "\n")
}

// collector collects the problems of one document.
type collector struct {
	problems []Problem
	omitted  int
}

func (c *collector) add(p Problem) {
	if len(c.problems) == maxCollected {
		c.omitted++
		return
	}
	c.problems = append(c.problems, p)
}

// sorted returns the problems, ordered by position, and how many it couldn't keep.
func (c *collector) sorted() ([]Problem, int) {
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c.problems, c.omitted
}
