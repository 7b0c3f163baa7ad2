package policy

import (
	"fmt"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// forClients yields the fields that make what a build may do depend on its client, such as
// "frontends[0].clients", with their patterns. Administration is no matter of builds.
func (p *Policy) forClients(yield func(field string, c clients.Condition) bool) {
	goesOn := true
	field := func(c clients.Condition, name string, at ...int) {
		if !goesOn || len(c.List) == 0 {
			return // Few fields name clients. The names of all others aren't made.
		}
		args := make([]any, len(at))
		for i, n := range at {
			args[i] = n
		}
		goesOn = yield(fmt.Sprintf(name, args...)+".clients", c)
	}
	ofRule := func(r *imagerules.Rule) clients.Condition {
		denies := r.Action == ActionDeny
		return clients.Condition{List: r.For(), Allows: !denies, Denies: denies}
	}
	ofNames := func(r *Choice) clients.Condition {
		return clients.Condition{List: r.clients, Allows: len(r.allow) > 0, Denies: len(r.deny) > 0}
	}
	ofImages := func(b *buildrules.Rules, before string, at ...int) {
		if b == nil || b.Images == nil {
			return
		}
		for i, r := range b.Images.Rules {
			field(ofRule(r), before+"build.images.rules[%d]", append(at, i)...)
		}
	}
	doc := &p.doc
	for i := range doc.Frontends {
		r := &doc.Frontends[i]
		field(ofRule(&r.Rule), "frontends[%d]", i)
		ofImages(r.Build, "frontends[%d].", i)
	}
	ofImages(doc.Build, "")
	doc.Permissions(func(name string, a *Permission) {
		field(clients.Condition{List: a.clients, Allows: true}, name)
	})
	doc.choices(func(name string, r *Choices) {
		field(ofNames(&r.Choice), name)
		for i, rule := range r.Rules {
			field(ofNames(rule), name+".rules[%d]", i)
		}
	})
}

// Permissions calls found with each field that is a [Permission], and isn't nil.
func (doc *Document) Permissions(found func(field string, a *Permission)) {
	add := func(field string, a *Permission) {
		if a != nil {
			found(field, a)
		}
	}
	add("llb", doc.LLB)
	add("debug", doc.Debug)
	if k := doc.Caches; k != nil {
		if k.Imports != nil {
			add("caches.imports.local", k.Imports.Local)
		}
		if k.Exports != nil {
			add("caches.exports.local", k.Exports.Local)
		}
	}
}

// choices calls found with each field that has choices, and isn't nil.
func (doc *Document) choices(found func(field string, r *Choices)) {
	add := func(field string, r *Choices) {
		if r != nil {
			found(field, r)
		}
	}
	if x := doc.Exports; x != nil {
		add("exports.client", x.Client)
		add("exports.push", x.Push)
		add("exports.store", x.Store)
		add("exports.annotations", x.Annotations)
	}
	if k := doc.Caches; k != nil {
		if k.Imports != nil {
			add("caches.imports.registry", k.Imports.Registry)
		}
		if k.Exports != nil {
			add("caches.exports.registry", k.Exports.Registry)
		}
	}
	if s := doc.SBOM; s != nil {
		add("sbom.generators", s.Generators)
	}
}

// NamesClients returns the first field that makes what a build may do depend on its client, such as
// "frontends[0].clients"; "" if there is none.
func (p *Policy) NamesClients() string {
	if p == nil {
		return ""
	}
	for field := range p.forClients {
		return field
	}
	return ""
}

// ClientConditions returns the conditions in all fields that make what a build may do depend on its
// client. Callers don't change them.
func (p *Policy) ClientConditions() []clients.Condition {
	var all []clients.Condition
	for _, c := range p.forClients {
		all = append(all, c)
	}
	return all
}

// NamesClients reports whether what a build may do depends on its client.
func (l Layers) NamesClients() bool {
	return l.embedded.NamesClients() != "" || l.overlay.NamesClients() != ""
}

// CheckClient fails if a layer names clients and the client isn't known. Without it, rules for some
// clients would refuse the builds of all, and nobody would be told why.
func (l Layers) CheckClient() error {
	if l.client.Known() {
		return nil
	}
	for _, layer := range []struct {
		what   string
		policy *Policy
	}{{"this policy" + l.embedded.label(), l.embedded}, {"the overlay", l.overlay}} {
		if field := layer.policy.NamesClients(); field != "" {
			return fmt.Errorf("%s names clients (%s), and only policy-guard knows who builds: build "+
				"through policy-guard, or have clients removed", layer.what, field)
		}
	}
	return nil
}
