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
	field := func(name string, c clients.Condition) {
		if goesOn && len(c.List) > 0 {
			goesOn = yield(name, c)
		}
	}
	ofRule := func(r *imagerules.Rule) clients.Condition {
		denies := r.Action == ActionDeny
		return clients.Condition{List: r.For(), Allows: !denies, Denies: denies}
	}
	ofNames := func(r *RepositoryRule) clients.Condition {
		return clients.Condition{List: r.clients, Allows: len(r.allow) > 0, Denies: len(r.deny) > 0}
	}
	ofImages := func(before string, b *buildrules.Rules) {
		if b == nil || b.Images == nil {
			return
		}
		for i, r := range b.Images.Rules {
			field(fmt.Sprintf("%sbuild.images.rules[%d].clients", before, i), ofRule(r))
		}
	}
	doc := &p.doc
	for i := range doc.Frontends {
		before := fmt.Sprintf("frontends[%d].", i)
		field(before+"clients", ofRule(&doc.Frontends[i].Rule))
		ofImages(before, doc.Frontends[i].Build)
	}
	ofImages("", doc.Build)
	if doc.LLB != nil {
		field("llb.clients", clients.Condition{List: doc.LLB.clients, Allows: true})
	}
	doc.repositories(func(name string, r *Repositories) {
		field(name+".clients", ofNames(&r.RepositoryRule))
		for i, rule := range r.Rules {
			field(fmt.Sprintf("%s.rules[%d].clients", name, i), ofNames(rule))
		}
	})
}

// repositories calls found with each field that lists repositories, and isn't nil.
func (doc *Document) repositories(found func(field string, r *Repositories)) {
	add := func(field string, r *Repositories) {
		if r != nil {
			found(field, r)
		}
	}
	if x := doc.Exports; x != nil {
		add("exports.push", x.Push)
		add("exports.store", x.Store)
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
