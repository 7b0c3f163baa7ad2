package policy

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Permission says which clients can do something that is allowed or not.
type Permission struct {
	// Clients that can do it, in the form of administration.clients. The default is all clients.
	Clients []string `yaml:"clients,omitempty" jsonschema:"minItems=1"`

	// Allowed and Denied say that the document has allow or deny in place of the fields.
	Allowed bool `yaml:"-" scalar:"allow"`
	Denied  bool `yaml:"-" scalar:"deny"`

	clients clients.List
}

// AllowsSome reports whether any client can do it. It is false for nil.
func (a *Permission) AllowsSome() bool { return a != nil && !a.Denied }

// Allows reports whether the client can do it. It is false for nil.
func (a *Permission) Allows(c clients.Client) bool { return a.AllowsSome() && a.clients.Has(c) }

// For returns the compiled patterns of the clients. Callers don't change them.
func (a *Permission) For() clients.List { return a.clients }

// objection returns why the client can't do it, or nil. what describes what is refused. The field
// is that below the rule; "" for the rule itself.
func (a *Permission) objection(by clients.Client, what, field string) *objection {
	switch {
	case !a.AllowsSome():
		return &objection{what: what, field: field}
	case !a.clients.Has(by):
		return &objection{
			what:  what + ": it allows that " + a.clients.Only(by),
			field: strings.TrimPrefix(field+".clients", "."),
		}
	}
	return nil
}

// MarshalYAML returns what the document has: a word or the fields.
func (a *Permission) MarshalYAML() (any, error) {
	type fields Permission
	switch {
	case a.Allowed:
		return ActionAllow, nil
	case a.Denied:
		return ActionDeny, nil
	}
	return (*fields)(a), nil
}

// permission checks the field of the mapping. Without it, it denies, unless it is left to others.
func (v *validator) permission(in *yaml.Node, key string, a **Permission, left bool) {
	n := child(in, key)
	if n == nil {
		if !left {
			*a = &Permission{Denied: true}
		}
		return
	}
	if *a == nil {
		return // It is a problem already.
	}
	v.report().Filled(n, key)
	if n.Kind == yaml.MappingNode {
		(*a).clients = v.clients(child(n, "clients"), (*a).Clients)
	}
}
