package lint

import (
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// administration checks who administrates the builder, and who can send LLB.
func (c *checker) administration() {
	if a := c.doc.Administration; a != nil {
		c.addf(NeedsGuard, unseen, "administration")
		tellClients("administration.clients", a.Clients, a.Patterns(), true, c.addf)
	}
	if a := c.doc.LLB; a != nil {
		tellClients("llb.clients", a.Clients, a.For(), true, c.addf)
	}
}

// tellClients looks for entries of a list of clients that another one covers, and for those that
// allow something to everybody with a kind of name.
func tellClients(field string, entries []string, patterns clients.List, allows bool, tell tell) {
	repeated(field, entries, func(i, j int) bool { return patterns[i].Covers(patterns[j]) }, tell)
	for _, entry := range entries {
		if _, name, _ := strings.Cut(entry, ":"); allows && strings.Trim(name, "*.") == "" {
			tell(ClientsAny, "%s has %s, which is each client whose certificate has such a name; write a "+
				"part of the name", field, entry)
		}
	}
}
