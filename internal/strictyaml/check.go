package strictyaml

import "go.yaml.in/yaml/v3"

// Report adds a problem at the node. [Document.Problemf] is one.
type Report func(n *yaml.Node, format string, args ...any)

// List checks the entries of a list, which the document has at the node; nil if it has none. An
// empty list is a problem, because it reads both as "no condition" and as "nothing".
func (r Report) List(n *yaml.Node, key string, items []string, check func(string) error) {
	if n == nil {
		return
	}
	if len(items) == 0 {
		r(n, "%s is empty; give it an entry or remove it", key)
	}
	r.Entries(n, key, items, check)
}

// Entries is [Report.List] for a list that can be empty.
func (r Report) Entries(n *yaml.Node, key string, items []string, check func(string) error) {
	if n == nil || n.Kind != yaml.SequenceNode {
		return // Another value than a list is a problem already, or stands for one.
	}
	for i, item := range items {
		if err := check(item); err != nil {
			r(n.Content[i], "%s: %v", key, err)
		}
	}
}

// Filled refuses a mapping without any field. It reads both as "anything" and as "nothing".
func (r Report) Filled(n *yaml.Node, key string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		r(n, "%s is empty; give it a field or remove it", key)
	}
}

// Map checks the entries of a map of strings as [Report.List] checks a list.
func (r Report) Map(
	n *yaml.Node, key string, items map[string]string, check func(key, value string) error,
) {
	if n == nil {
		return
	}
	if len(items) == 0 {
		r(n, "%s is empty; give it an entry or remove it", key)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if name := n.Content[i]; name.Value != "" {
			if err := check(name.Value, items[name.Value]); err != nil {
				r(name, "%s: %v", key, err)
			}
		}
	}
}
