package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// MaxSize is the size in bytes of the largest embedded policy.
	MaxSize = 4 << 20
	// MaxOverlaySize is the size in bytes of the largest overlay. An option of
	// more than 128 KiB kills any frontend at its start, before it could refuse.
	MaxOverlaySize = 64 << 10

	// maxProblems is how many problems one ParseError lists.
	maxProblems = 10
	// maxCollected is how many problems of one document are put in order for that.
	maxCollected = 1000
)

// Problem is one thing that is wrong with a policy document.
type Problem struct {
	// File is the name that was given to Parse.
	File string
	// Line and Column count from 1, in characters. Column is 0 when the YAML
	// decoder doesn't tell it, and both are 0 for a problem of the whole document.
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

// ParseError says why a document is no policy.
type ParseError struct {
	// Problems are ordered by position; at least one, at most ten.
	Problems []Problem
	// Omitted is how many more there are.
	Omitted int
}

// Error returns one line for each problem.
func (e *ParseError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.Omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.Omitted))
	}
	return strings.Join(lines, "\n")
}

// Parse reads an embedded policy of at most MaxSize bytes that stands by itself;
// for one that includes files, use Load. The file is only a name for messages.
//
// The document is plain YAML data (JSON is such) in UTF-8: exactly one document,
// no anchors, aliases, merge keys or tags, every key known and written once.
// Anything else is a *ParseError with positions, as is a field whose value has
// no meaning.
func Parse(file string, data []byte) (*Policy, error) {
	l := newLoader(alone)
	return l.load(file, data, MaxSize)
}

// ParseOverlay reads an overlay of at most MaxOverlaySize bytes. It is a policy
// document as for Parse, but can't itself say which overlays it accepts, and can't
// include files.
func ParseOverlay(file string, data []byte) (*Policy, error) {
	l := newLoader(overlaid)
	return l.load(file, data, MaxOverlaySize)
}

// decoder collects the problems of one document.
type decoder struct {
	file     string
	types    map[reflect.Type][]string // the keys of each struct, read once
	problems []Problem
	omitted  int
}

// addf adds a problem at the node, or one of the whole document if it is nil.
func (d *decoder) addf(n *yaml.Node, format string, args ...any) {
	if len(d.problems) == maxCollected {
		d.omitted++
		return
	}
	p := Problem{File: d.file, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	d.add(p)
}

func (d *decoder) add(p Problem) {
	d.problems = append(d.problems, p)
}

// sort orders the problems by position.
func (d *decoder) sort() {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// err returns the problems as a *ParseError, or nil if there is none.
func (d *decoder) err() error {
	d.sort()
	return parseError(d.problems, d.omitted)
}

// parseError is the first of the problems as an error, or nil if there is none.
func parseError(problems []Problem, omitted int) error {
	if len(problems) == 0 {
		return nil
	}
	shown := problems[:min(len(problems), maxProblems)]
	return &ParseError{Problems: shown, Omitted: omitted + len(problems) - len(shown)}
}

// document returns the root of the only YAML document in data, or nil after it
// has added a problem.
func (d *decoder) document(data []byte) *yaml.Node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		d.add(d.invalidUTF8(data))
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		d.addf(nil, "the document is empty; a policy begins with version: %d", Version)
		return nil
	} else if err != nil {
		d.add(d.syntax(err))
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		d.addf(&second, "a second document begins here; a policy is one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.add(d.syntax(err))
		return nil
	}
	root := doc.Content[0]
	if root.Tag == nullTag && root.Value == "" {
		d.addf(nil, "the document is empty; a policy begins with version: %d", Version)
		return nil
	}
	return root
}

func (d *decoder) invalidUTF8(data []byte) Problem {
	p := Problem{File: d.file, Line: 1, Column: 1, Message: "the document is not UTF-8"}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		p.Column++
		if r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
		data = data[size:]
	}
	return p
}

// syntax words an error of the YAML decoder, which begins "yaml: line 2: " or, on
// the first line, "yaml: ".
func (d *decoder) syntax(err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: d.file, Line: 1, Message: "not valid YAML: " + safetext.Printable(text)}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if at, message, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(at); err == nil {
				p.Line, p.Message = n, "not valid YAML: "+safetext.Printable(message)
			}
		}
	}
	return p
}
