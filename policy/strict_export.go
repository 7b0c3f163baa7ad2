package policy

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// StrictDocument is a document that DecodeStrict has read. It knows where each
// value stands and collects what is wrong with the values.
type StrictDocument struct {
	decoder decoder
	root    *yaml.Node
}

// DecodeStrict reads a document of at most limit bytes that belongs to a policy
// without being one, such as tests of it, as strictly as Parse reads a policy. The
// file is only a name for messages. Out points to a struct with yaml tags, of
// structs and pointers to them, slices, texts, maps of those, bools and ints. An
// empty text is refused but in a list with the tag blank:"true".
//
// What is no such document is a *ParseError.
func DecodeStrict(file string, data []byte, limit int, out any) (*StrictDocument, error) {
	doc := &StrictDocument{decoder: decoder{file: file, types: map[reflect.Type][]string{}}}
	d := &doc.decoder
	if len(data) > limit {
		d.addf(nil, "the document has %d bytes, more than %d", len(data), limit)
		return nil, doc.Err()
	}
	if doc.root = d.document(data); doc.root == nil {
		for i, p := range d.problems {
			// What a policy begins with says nothing about this document.
			d.problems[i].Message, _, _ = strings.Cut(p.Message, "; a policy ")
		}
		return nil, doc.Err()
	}
	d.value(doc.root, reflect.ValueOf(out).Elem(), "the document")
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return doc, nil
}

// Problemf adds a problem at the value that the path leads to, see Position.
func (s *StrictDocument) Problemf(path []any, format string, args ...any) {
	s.decoder.addf(s.at(path), format, args...)
}

// Position returns where the value begins to which the path leads, counted from 1.
// The path's steps are keys of mappings and, as int, places in lists from 0; for
// what isn't there, it is where its nearest parent is.
func (s *StrictDocument) Position(path ...any) (line, column int) {
	n := s.at(path)
	return n.Line, n.Column
}

func (s *StrictDocument) at(path []any) *yaml.Node {
	n := s.root
	for _, step := range path {
		next := find(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// Err returns the problems as a *ParseError, or nil if there is none.
func (s *StrictDocument) Err() error {
	problems := s.decoder.problems
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	shown := problems[:min(len(problems), maxProblems)]
	return &ParseError{Problems: shown, Omitted: len(problems) - len(shown)}
}

// find returns the value of a mapping's key or an item of a list, or nil.
func find(n *yaml.Node, step any) *yaml.Node {
	if i, ok := step.(int); ok {
		if n.Kind != yaml.SequenceNode || i >= len(n.Content) {
			return nil
		}
		return n.Content[i]
	}
	key, _ := step.(string)
	return child(n, key)
}
