// Package strictyaml reads YAML documents that are plain data, and says where each
// mistake is.
//
// Plain data has no anchors, aliases, merge keys or tags, because a reader easily
// misses what they do. There is exactly one document in UTF-8, every key is known and
// written once, and no value is null. JSON is plain data too.
//
// A type says with yaml tags which keys it has. It consists of structs, pointers to
// structs, slices, maps with string keys, strings, bools and ints. With the tag
// `yaml:",inline"`, the keys of a nested struct stand among those of the outer one.
// Strings can't be empty, unless they are in a field with the tag `blank:"true"`. A list with the
// tag `boolean:"x"` can be written true, for a list of x, or false, for an empty one. In place of
// a struct behind a pointer, a document can have the word w if a bool field of the struct has the
// tag `scalar:"w"`; that field is true then. A list with the tag `single:"true"` can be written as
// its only entry. A struct with the tag `short:"key"` can be written as the value of its field with
// this key. In place of a struct behind a pointer, a document can have a list of mappings if a
// field of the struct has the tag `sequence:"true"`; the list is that of the field then. With a
// short field that is a list too, that one has the lists that don't begin with a mapping.
package strictyaml

import (
	"bytes"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// Document is a document that [Decode] has read. It knows where each value is, and
// collects problems with the values.
type Document struct {
	root     *yaml.Node
	source   []byte // its text
	file     string
	format   Format
	types    map[reflect.Type][]field // the fields of each struct, found once
	problems collector
}

// Format describes a kind of documents.
type Format struct {
	// Name is what messages call a document, for example "the policy".
	Name string
	// Begin completes the message about an empty document; it says how to begin one, for
	// example "a policy begins with version: 1".
	Begin string
	// Limit is the size in bytes of the largest document.
	Limit int
}

// Decode reads a document into the value that out points to. The file is only a name
// for messages.
//
// The result is never nil. See [Document.Err] for whether out can be used.
func Decode(file string, data []byte, format Format, out any) *Document {
	d := &Document{file: file, format: format, types: map[reflect.Type][]field{}}
	if len(data) > format.Limit {
		d.Problemf(nil, "the document has %d bytes, more than %d", len(data), format.Limit)
		return d
	}
	d.source = bytes.TrimPrefix(data, []byte("\ufeff"))
	if d.root = d.parse(d.source); d.root != nil {
		d.value(d.root, reflect.ValueOf(out).Elem(), label{field: format.Name})
	}
	return d
}

// File returns the name that was given to [Decode].
func (d *Document) File() string { return d.file }

// Root returns the document's topmost node; nil if the document isn't YAML.
func (d *Document) Root() *yaml.Node { return d.root }

// Problemf adds a problem at the node, or one of the whole document if it is nil.
func (d *Document) Problemf(n *yaml.Node, format string, args ...any) {
	p := Problem{File: d.file, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	d.problems.add(p)
}

// Problems returns the problems in the order of their positions. It keeps the first
// thousand that were found; omitted counts the others.
func (d *Document) Problems() (problems []Problem, omitted int) { return d.problems.sorted() }

// Err returns the problems as an [*Error], or nil if there are none.
func (d *Document) Err() error {
	if err := NewError(d.Problems()); err != nil {
		return err
	}
	return nil
}

// At returns the value that the path leads to. The steps of a path are keys of mappings
// and, as int, places in lists from 0. If there is no such value, it returns the nearest
// parent.
func (d *Document) At(path ...any) *yaml.Node {
	n := d.root
	for _, step := range path {
		next := find(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
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
	return Child(n, key)
}

// Child returns the value of the mapping's key, or nil if it has none.
func Child(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
