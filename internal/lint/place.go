package lint

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// located is a finding with what its place is found by.
type located struct {
	Finding
	// text is the message, which begins with the field that it is about: "tags has 1.7, and …".
	text string
	// owner is the line of the rule or the alias that the finding is about; 0 if it is about the whole
	// policy.
	owner int
	// inner says that it is about a rule on images.
	inner bool
}

// point is a place in a document.
type point struct{ line, column int }

// place gives the findings the place of the field, or of the entry of a list, that they are about.
// Without the text, those about the whole policy are at its beginning, and others where their rule
// begins.
func (c *checker) place(source func(file string) ([]byte, error)) {
	if source == nil {
		return
	}
	read := map[string]map[point]*yaml.Node{}
	for i := range c.found {
		f := &c.found[i]
		nodes, ok := read[f.File]
		if !ok {
			nodes = mappings(f.File, source)
			read[f.File] = nodes
		}
		if f.Line == 0 {
			f.Line, f.Column = 1, 1
		}
		at := nodes[point{f.Line, f.Column}]
		if f.owner == 0 {
			at = nodes[point{}]
		}
		if at == nil {
			continue
		}
		n := spot(at, f)
		f.Line, f.Column = n.Line, n.Column
	}
}

// mappings returns the mappings of a document by their place, and the topmost one at the zero
// point. There is none if the text can't be read.
func mappings(file string, source func(string) ([]byte, error)) map[point]*yaml.Node {
	data, err := source(file)
	if err != nil {
		return nil
	}
	var doc policy.Document
	root := strictyaml.Decode(file, data, strictyaml.Format{Limit: policy.MaxSize}, &doc).Root()
	if root == nil {
		return nil
	}
	nodes := map[point]*yaml.Node{{}: root}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.MappingNode {
			nodes[point{n.Line, n.Column}] = n
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(root)
	return nodes
}

// fieldOf has the field of a finding whose message doesn't begin with it.
func fieldOf(code Code) string {
	switch code {
	case DefaultAllow, DefaultUnjudged:
		return "default"
	case LLBUnjudged:
		return "llb"
	case AllowsNothing:
		return "frontends"
	case WarnMode:
		return "mode"
	case DefaultFrontendRefused:
		return "defaultFrontend"
	case UnusedInclude:
		return "include"
	case Expired:
		return "expires"
	case WarnAfterExpiry:
		return "warnAfter"
	}
	return ""
}

// fieldPath is the field with which messages begin.
var fieldPath = regexp.MustCompile(`^[a-z][A-Za-z]*(\.[A-Za-z]+)*`)

// spot returns the node that a finding is about, below the mapping of its rule or of the whole
// policy: the entry of a list if the message names it, or else the field or its nearest parent.
func spot(mapping *yaml.Node, f *located) *yaml.Node {
	written := fieldPath.FindString(f.text)
	if other := fieldOf(f.Code); other != "" {
		written = other
	}
	n, at := mapping, mapping
	for key := range strings.SplitSeq(written, ".") {
		name, value := entry(at, key)
		if value == nil {
			break
		}
		n, at = name, value
	}
	if item := named(at, strings.TrimPrefix(f.text, written)); item != nil && at != mapping {
		return item
	}
	return n
}

// named returns the entry of a list, or the key of a mapping, that the rest of a message names. It
// follows the field: " has ENTRY, which …". If none does, it is the longest one that is in the text,
// or nil.
func named(list *yaml.Node, text string) *yaml.Node {
	step := 1
	switch list.Kind {
	case yaml.MappingNode:
		step = 2
	case yaml.SequenceNode:
	default:
		return nil
	}
	var first, longest *yaml.Node
	size := 0
	for i := 0; i < len(list.Content); i += step {
		item := list.Content[i]
		if item.Kind != yaml.ScalarNode {
			continue
		}
		for _, form := range writtenAs(item.Value) {
			if follows(text, form) && len(form) > size {
				first, size = item, len(form)
			}
		}
		if step == 1 && strings.Contains(text, item.Value) &&
			(longest == nil || len(item.Value) > len(longest.Value)) {
			longest = item
		}
	}
	if first != nil {
		return first
	}
	return longest
}

// writtenAs returns the forms in which a message can have an entry.
func writtenAs(entry string) []string {
	if p, err := imageref.ParsePattern(entry); err == nil {
		return []string{entry, p.String()}
	}
	return []string{entry}
}

// follows reports whether the rest of a message after its field begins with the entry.
func follows(text, entry string) bool {
	for _, verb := range []string{" has ", " requires "} {
		if rest, ok := strings.CutPrefix(text, verb+entry); ok &&
			(rest == "" || strings.ContainsAny(rest[:1], ",; ")) {
			return true
		}
	}
	return false
}

// entry returns the key and the value of a mapping's field, or nil.
func entry(n *yaml.Node, key string) (name, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}
