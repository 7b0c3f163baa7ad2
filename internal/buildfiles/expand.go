package buildfiles

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxNodes bounds the nodes of a YAML file, and of the files that it names, after its aliases are
	// put in. A file can have aliases in what other aliases name.
	maxNodes = 250_000
	// maxDepth bounds how deep they are nested. A map can name itself.
	maxDepth = 100
)

var (
	errNodes = fmt.Errorf("with aliases and what it names, it has more than %d nodes", maxNodes)
	errDepth = fmt.Errorf("it is nested deeper than %d levels, or contains itself", maxDepth)
	errMerge = errors.New("\"<<\" needs a map or a list of maps")
)

// duplicateError is the error for a key that a map has twice.
type duplicateError struct {
	key  string
	line int
}

func (e duplicateError) Error() string {
	return fmt.Sprintf("line %d: the key %q is there twice", e.line, e.key)
}

// expander puts in what the aliases of a YAML file name, and what its maps merge.
type expander struct {
	nodes int
	tags  []string // those that aren't YAML's own
}

// expand returns a copy of the node that has neither aliases nor merges.
func (x *expander) expand(n *yaml.Node, depth int) (*yaml.Node, error) {
	x.nodes++
	switch {
	case x.nodes > maxNodes:
		return nil, errNodes
	case depth > maxDepth:
		return nil, errDepth
	case n.Kind == yaml.AliasNode:
		return x.expand(n.Alias, depth+1)
	case n.Kind == yaml.MappingNode:
		return x.mapping(n, depth)
	}
	x.note(n)
	out := *n
	out.Content = nil
	for _, part := range n.Content {
		e, err := x.expand(part, depth+1)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, e)
	}
	return &out, nil
}

func (x *expander) note(n *yaml.Node) {
	if tag := n.ShortTag(); tag != "" && !strings.HasPrefix(tag, "!!") && len(x.tags) < maxUnknown {
		x.tags = append(x.tags, tag)
	}
}

// mapping expands a map. Its own keys count more than those that it merges, and the first map of
// a list that it merges counts most.
func (x *expander) mapping(n *yaml.Node, depth int) (*yaml.Node, error) {
	x.note(n)
	out := *n
	out.Content = nil
	var merged *yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := x.expand(n.Content[i], depth+1)
		if err != nil {
			return nil, err
		}
		if seen[key.Value] {
			return nil, duplicateError{key.Value, key.Line}
		}
		seen[key.Value] = true
		value, err := x.expand(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if key.ShortTag() == "!!merge" {
			merged = value
			continue
		}
		out.Content = append(out.Content, key, value)
	}
	if merged == nil {
		return &out, nil
	}
	from := []*yaml.Node{merged}
	if merged.Kind == yaml.SequenceNode {
		from = merged.Content
	}
	for _, m := range from {
		if m.Kind != yaml.MappingNode {
			return nil, errMerge
		}
		for i := 0; i+1 < len(m.Content); i += 2 {
			if key := m.Content[i]; !seen[key.Value] {
				seen[key.Value] = true
				out.Content = append(out.Content, key, m.Content[i+1])
			}
		}
	}
	return &out, nil
}

// fieldsIn returns the values of a map by their keys. It is nil for anything else.
func fieldsIn(n *yaml.Node) map[string]*yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	out := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		out[n.Content[i].Value] = n.Content[i+1]
	}
	return out
}

// isNull reports whether a value is there and null, or isn't there.
func isNull(n *yaml.Node) bool { return n == nil || n.Kind == 0 || n.ShortTag() == "!!null" }
