package policy

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// AdministrationRule is the rule of rulings on what only administrators can do. No rule of a policy
// can have this name.
const AdministrationRule = "administration"

// Administration says which clients administrate the builder. Only policy-guard knows its clients,
// and without this field nobody does.
type Administration struct {
	// Clients that can see the disk usage of all builds, and prune it: uid:1000, gid:1000, cn:NAME,
	// dns:NAME, or a URI such as spiffe://corp.example/ci/*. A * stands for any characters of a common
	// name, of one label, or of one segment of a path; ** stands for several segments.
	Clients []string `yaml:"clients" jsonschema:"minItems=1"`

	patterns clients.List
}

// Administering is something that only administrators can do.
type Administering string

// What only administrators can do.
const (
	// DiskUsage shows what the builder keeps, with the commands of all builds.
	DiskUsage Administering = "disk usage"
	// Pruning deletes what the builder keeps for all clients.
	Pruning Administering = "pruning"
)

// DecideAdministration says whether a client can do it. Both layers have to list the client. An
// overlay that has no administration restricts nothing. No mode weakens a denial. The verdict is
// Allow or Deny.
func (l Layers) DecideAdministration(a Administering, c clients.Client) Ruling {
	return l.rule(AdministrationRule, func(p *Policy, overlay bool) *objection {
		admins := inLayer(p.doc.Administration, overlay)
		if admins == nil || admins.lists(c) {
			return nil
		}
		return &objection{
			what:  string(a) + " for " + c.String() + allowsOnly(admins.Clients),
			field: "clients", allowed: admins.Clients,
			hint: "it concerns all clients, so ask an administrator, or have this client listed in " +
				"administration.clients",
		}
	})
}

// lists reports whether the client is an administrator.
func (a *Administration) lists(c clients.Client) bool {
	return len(a.patterns) > 0 && a.patterns.Has(c)
}

// Patterns returns the clients as patterns.
func (a *Administration) Patterns() []clients.Pattern {
	return slices.Clone([]clients.Pattern(a.patterns))
}

func (v *validator) administration() {
	n, a := child(v.root, "administration"), v.policy.doc.Administration
	if n == nil || a == nil {
		return
	}
	list := child(n, "clients")
	if list == nil {
		v.addf(n, "administration has no clients; list them, or remove it")
	}
	a.patterns = v.clients(list, a.Clients)
}

// clients checks and compiles a list of clients at the node.
func (v *validator) clients(n *yaml.Node, items []string) clients.List {
	var out clients.List
	v.list(n, "clients", items, func(s string) error {
		p, err := clients.ParsePattern(s)
		out = append(out, p)
		return err
	})
	return out
}
