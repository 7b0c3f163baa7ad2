package policy

import "github.com/policy-frontend/policy-frontend/internal/strictyaml"

const (
	// MaxSize is the size in bytes of the largest embedded policy.
	MaxSize = 4 << 20
	// MaxOverlaySize is the size in bytes of the largest overlay. An option of more than
	// 128 KiB makes any frontend fail at its start, before it could refuse the build.
	MaxOverlaySize = 64 << 10
)

// Problem is one mistake in a policy document.
type Problem struct {
	// File is the name that was given to [Parse], or the path of an included file.
	File string
	// Line and Column count from 1; columns are characters. Column is 0 for a YAML syntax
	// error of no known kind. Both are 0 for a problem of the whole document.
	Line, Column int
	// Message says what is wrong and, where possible, what to do. It is safe for a
	// terminal.
	Message string
}

// String returns "file:line:column: message".
func (p Problem) String() string { return strictyaml.Problem(p).String() }

// ParseError says why a document isn't a policy.
type ParseError struct {
	// Problems are ordered by position; at least one, at most ten. Those of an included
	// file follow those of the file that includes it.
	Problems []Problem
	// Omitted is how many more there are.
	Omitted int
}

// newParseError returns nil if there are no problems.
func newParseError(problems []strictyaml.Problem, omitted int) error {
	first := strictyaml.NewError(problems, omitted)
	if first == nil {
		return nil
	}
	err := &ParseError{Omitted: first.Omitted}
	for _, p := range first.Problems {
		err.Problems = append(err.Problems, Problem(p))
	}
	return err
}

// Error returns one line for each problem, and one that counts the omitted ones.
func (e *ParseError) Error() string {
	err := strictyaml.Error{Omitted: e.Omitted}
	for _, p := range e.Problems {
		err.Problems = append(err.Problems, strictyaml.Problem(p))
	}
	return err.Error()
}

// Parse reads an embedded policy of at most [MaxSize] bytes. The file is only a name for
// messages. A policy that includes other files needs [Load].
//
// The document is plain YAML data in UTF-8, and JSON is plain data too. There is exactly one
// document, without anchors, aliases, merge keys and tags, and every key is known and written
// once. For any other document, and for a field with an invalid value, the error is a
// [*ParseError] with positions.
func Parse(file string, data []byte) (*Policy, error) {
	l := newLoader(alone)
	return l.load(file, data, MaxSize)
}

// ParseOverlay reads an overlay of at most [MaxOverlaySize] bytes. An overlay is a document
// as for [Parse], but it can't say which overlays it accepts, and it can't include files.
func ParseOverlay(file string, data []byte) (*Policy, error) {
	l := newLoader(overlaid)
	return l.load(file, data, MaxOverlaySize)
}
