package lock

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
)

// Edit returns the document with those of the pins that belong in it. name is the
// document's name in the policy. main reports whether it is the policy's own document
// rather than an included one. Comments, order and layout of everything else stay.
//
// It fails, with the line, if it can't edit the layout at a pin's place. It also fails if
// the result would differ from the document in more than pins.
func Edit(name string, data []byte, pins []Pin, main bool) ([]byte, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	e := editor{text: newText(data), root: root}
	want := plain(root)
	for _, g := range groups(name, pins, main) {
		if want, err = e.group(g, want); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := e.create(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := e.apply()
	again, err := parse(out)
	if err != nil || !reflect.DeepEqual(want, plain(again)) {
		return nil, fmt.Errorf("%s: the pins can't be written without changing something else; write "+
			"one value of the aliases on each line", name)
	}
	return out, nil
}

// parse returns the root of a document, which must be a mapping.
func parse(data []byte) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the document is not a mapping")
	}
	return doc.Content[0], nil
}

// group is the pins to write into one alias.
type group []Pin

// groups returns the pins of the document that have moved, by alias.
func groups(name string, pins []Pin, main bool) []group {
	var out []group
	for _, p := range pins {
		file := ""
		switch {
		case p.Alias != nil:
			file = p.Alias.File()
		case p.Before != nil:
			file = p.Before.File()
		}
		if !p.Moved() || (file != name && (file != "" || !main)) {
			continue
		}
		i := slices.IndexFunc(out, func(g group) bool {
			return g[0].Alias == p.Alias &&
				g[0].From == p.From
		})
		if i < 0 {
			out = append(out, group{p})
		} else {
			out[i] = append(out[i], p)
		}
	}
	return out
}

// editor edits one document.
type editor struct {
	*text
	root *yaml.Node
	made []group // new aliases for a document without any
}

// group writes a group. It returns the content that the document must have afterwards.
func (e *editor) group(g group, want any) (any, error) {
	doc := want.(map[string]any)
	list := strictyaml.Child(e.root, "aliases")
	aliases, _ := doc["aliases"].([]any)
	if g[0].Alias == nil {
		at := len(aliases)
		if g[0].Before != nil {
			// This call may already have added aliases before it.
			at = e.index(list, g[0].Before.Line(), g[0].Before.Column()) + len(aliases) - len(list.Content)
		}
		made := map[string]any{"from": g[0].From, "to": g[0].To, "pins": map[string]any{}}
		for _, p := range g {
			made["pins"].(map[string]any)[p.Tag] = p.New.String()
		}
		if list == nil {
			e.made = append(e.made, g)
		} else if err := e.add(list, g); err != nil {
			return nil, err
		}
		doc["aliases"] = slices.Insert(aliases, at, any(made))
		return doc, nil
	}
	i := e.index(list, g[0].Alias.Line(), g[0].Alias.Column())
	if i < 0 {
		return nil, fmt.Errorf("the alias is no longer on line %d", g[0].Alias.Line())
	}
	alias := aliases[i].(map[string]any)
	entries, _ := alias["pins"].(map[string]any)
	if entries == nil {
		entries = map[string]any{}
		alias["pins"] = entries
	}
	for _, p := range g {
		entries[p.Tag] = p.New.String()
	}
	return doc, e.pin(list.Content[i], g)
}

// plain returns the node's content: decoded strings, lists and maps.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, plain(c))
		}
		return out
	}
	return n.Value
}

func (e *editor) index(list *yaml.Node, line, column int) int {
	if list == nil {
		return -1
	}
	return slices.IndexFunc(list.Content, func(n *yaml.Node) bool {
		return n.Line == line &&
			n.Column == column
	})
}

func keyIndex(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func spaces(n int) string { return strings.Repeat(" ", n) }
