package lint

import "strings"

// administration checks who administrates the builder.
func (c *checker) administration() {
	const field = "administration.clients"
	a := c.doc.Administration
	if a == nil {
		return
	}
	c.addf(NeedsGuard, unseen, "administration")
	patterns := a.Patterns()
	repeated(field, a.Clients, func(i, j int) bool { return patterns[i].Covers(patterns[j]) }, c.addf)
	for _, entry := range a.Clients {
		if _, name, _ := strings.Cut(entry, ":"); strings.Trim(name, "*.") == "" {
			c.addf(ClientsAny, "%s has %s, which is each client whose certificate has such a name; write a "+
				"part of the name", field, entry)
		}
	}
}
