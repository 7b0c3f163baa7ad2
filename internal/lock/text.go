package lock

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// text is a document together with the offsets of its lines.
type text struct {
	data    []byte
	lines   []int // offset of each line
	newline string
	edits   []edit
}

// edit replaces the bytes from start to end with insert.
type edit struct {
	start, end int
	insert     string
}

func newText(data []byte) *text {
	t := &text{
		data: data, newline: "\n",
		lines: []int{len(data) - len(bytes.TrimPrefix(data, []byte("\ufeff")))},
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		i += size
		if r == '\r' && i < len(data) && data[i] == '\n' {
			i++
			if len(t.lines) == 1 {
				t.newline = "\r\n"
			}
		}
		// These characters end a line in YAML 1.1, and so in the decoder.
		if r == '\n' || r == '\r' || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			t.lines = append(t.lines, i)
		}
	}
	return t
}

func (t *text) insert(at int, s string)          { t.replace(at, at, s) }
func (t *text) replace(start, end int, s string) { t.edits = append(t.edits, edit{start, end, s}) }

// apply returns the document with all edits. Edits at the same offset keep their order.
func (t *text) apply() []byte {
	slices.SortStableFunc(t.edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range t.edits {
		out = append(out, t.data[at:e.start]...)
		out = append(out, e.insert...)
		at = e.end
	}
	return append(out, t.data[at:]...)
}

// start returns the offset at which the node begins.
func (t *text) start(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(t.lines) {
		return 0, t.unreadable(n)
	}
	at := t.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(t.data[at:])
		if size == 0 {
			return 0, t.unreadable(n)
		}
		at += size
	}
	return at, nil
}

// end returns the offset after the node's last character.
func (t *text) end(n *yaml.Node) (int, error) {
	start, err := t.start(n)
	if err != nil {
		return 0, err
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		return t.scalarEnd(n, start)
	case n.Style&yaml.FlowStyle != 0:
		at := start + 1
		if len(n.Content) > 0 {
			if at, err = t.end(n.Content[len(n.Content)-1]); err != nil {
				return 0, err
			}
		}
		return t.closing(n, at)
	case len(n.Content) > 0:
		return t.end(n.Content[len(n.Content)-1])
	}
	return 0, t.unreadable(n)
}

func (t *text) scalarEnd(n *yaml.Node, start int) (int, error) {
	rest := t.data[start:]
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			switch rest[i] {
			case '\\':
				i++
			case '"':
				return start + i + 1, nil
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			if rest[i] != '\'' {
				continue
			}
			if i+1 < len(rest) && rest[i+1] == '\'' {
				i++
				continue
			}
			return start + i + 1, nil
		}
	case n.Style == 0 && bytes.HasPrefix(rest, []byte(n.Value)):
		return start + len(n.Value), nil
	}
	return 0, t.unreadable(n)
}

// closing returns the offset after the bracket that ends a node in flow style. Everything in
// the node before at has been read.
func (t *text) closing(n *yaml.Node, at int) (int, error) {
	bracket := byte('}')
	if n.Kind == yaml.SequenceNode {
		bracket = ']'
	}
	for ; at < len(t.data); at++ {
		switch t.data[at] {
		case bracket:
			return at + 1, nil
		case '#':
			for at+1 < len(t.data) && t.data[at+1] != '\n' {
				at++
			}
		case ' ', '\t', '\r', '\n', ',':
		default:
			return 0, t.unreadable(n)
		}
	}
	return 0, t.unreadable(n)
}

// lineEnd returns the offset of the end of the line at the offset.
func (t *text) lineEnd(at int) int {
	for at < len(t.data) && t.data[at] != '\n' && t.data[at] != '\r' {
		at++
	}
	return at
}

// above returns the offset of the beginning of the line at the offset, or of the comment
// with the same indentation above it.
func (t *text) above(at int) int {
	line, _ := slices.BinarySearch(t.lines, at+1)
	line--
	depth := indentation(t.data[t.lines[line]:])
	for line > 0 {
		previous := string(t.data[t.lines[line-1]:t.lines[line]])
		if indentation([]byte(previous)) != depth || !strings.HasPrefix(strings.TrimSpace(previous),
			"#") {
			break
		}
		line--
	}
	return t.lines[line]
}

func indentation(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

// alone returns the part of the line before at. It is false unless that is only space.
func (t *text) alone(at int) (string, bool) {
	line, _ := slices.BinarySearch(t.lines, at+1)
	before := string(t.data[t.lines[line-1]:at])
	return before, strings.Trim(before, " \t") == ""
}

func (t *text) unreadable(n *yaml.Node) error {
	return fmt.Errorf("the layout of line %d can't be edited; write each of its values on one line",
		n.Line)
}
