// Package renaming reads the two sides of an alias or a conversion, which replace one image name
// with another.
package renaming

import (
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Read reads the fields from and to of the mapping at the node. What names the mapping in
// messages. Read reports what is wrong with a side at its node, and returns false then.
func Read(
	n *yaml.Node, what, from, to string, report strictyaml.Report,
) (f, t imageref.Pattern, ok bool) {
	f, hasFrom := side(n, what, "from", from, report)
	t, hasTo := side(n, what, "to", to, report)
	if hasFrom && hasTo && f.IsDirectory() != t.IsDirectory() {
		report(strictyaml.Child(n, "to"),
			"from and to must both end in /** or both not: the rest of the name is carried over")
	}
	return f, t, hasFrom && hasTo
}

func side(n *yaml.Node, what, key, s string, report strictyaml.Report) (imageref.Pattern, bool) {
	at := strictyaml.Child(n, key)
	if at == nil {
		report(n, "the %s has no %s; it needs from and to", what, key)
		return imageref.Pattern{}, false
	}
	p, err := imageref.ParseRenamed(s)
	if err != nil {
		report(at, "%s: %v", key, err)
		return imageref.Pattern{}, false
	}
	return p, true
}
