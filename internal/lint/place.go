package lint

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
)

// place gives the findings about the whole policy the place of the field that they are about. If
// the text can't be read, they are at its beginning.
func (c *checker) place(source func(file string) ([]byte, error)) {
	isWhole := func(f Finding) bool { return f.Line == 0 }
	if source == nil || !slices.ContainsFunc(c.found, isWhole) {
		return
	}
	var root *yaml.Node
	if data, err := source(c.file); err == nil {
		var doc policy.Document
		format := strictyaml.Format{Limit: policy.MaxSize}
		root = strictyaml.Decode(c.file, data, format, &doc).Root()
	}
	for i := range c.found {
		f := &c.found[i]
		if f.Line > 0 {
			continue
		}
		f.Line, f.Column = 1, 1
		if n := field(root, *f); n != nil {
			f.Line, f.Column = n.Line, n.Column
		}
	}
}

// fieldOf has the field of a finding whose message doesn't begin with it.
func fieldOf(code Code) string {
	switch code {
	case DefaultAllow, DefaultUnjudged:
		return "default"
	case AllowsNothing:
		return "frontends"
	case WarnMode:
		return "mode"
	case DefaultFrontendRefused:
		return "defaultFrontend"
	case UnusedInclude:
		return "include"
	}
	return ""
}

// buildPath is the field with which the messages about build rules begin.
var buildPath = regexp.MustCompile(`^(build|limits)(\.[A-Za-z]+)+`)

// field returns the node of the field that a finding is about: the entry of a list if the message
// names it, or else the field or its nearest parent. It is nil without a document.
func field(root *yaml.Node, f Finding) *yaml.Node {
	if root == nil {
		return nil
	}
	written := fieldOf(f.Code)
	if written == "" {
		written = buildPath.FindString(f.Message)
	}
	n := root
	if len(root.Content) > 0 {
		n = root.Content[0]
	}
	at := root
	for key := range strings.SplitSeq(written, ".") {
		name, value := entry(at, key)
		if value == nil {
			break
		}
		n, at = name, value
	}
	if item := named(at, strings.TrimPrefix(f.Message, written)); item != nil {
		return item
	}
	return n
}

// named returns the longest entry of a list that is in the text, or nil.
func named(list *yaml.Node, text string) *yaml.Node {
	var longest *yaml.Node
	if list.Kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range list.Content {
		if item.Kind == yaml.ScalarNode && strings.Contains(text, item.Value) &&
			(longest == nil || len(item.Value) > len(longest.Value)) {
			longest = item
		}
	}
	return longest
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
