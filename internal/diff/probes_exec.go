package diff

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/policy"
)

// exec adds commands that use one thing each.
func (p *prober) exec(rules []policy.Build) {
	add := func(f policy.ExecFact) {
		none := f
		none.Network = policy.NetworkNone // so that nothing else is refused where default isn't allowed
		p.add(policy.Fact{Exec: &f}, policy.Fact{Exec: &none})
	}
	for _, n := range []string{policy.NetworkNone, policy.NetworkDefault, policy.NetworkHost} {
		p.add(policy.Fact{Exec: &policy.ExecFact{Network: n}})
	}
	add(policy.ExecFact{Insecure: true})
	add(policy.ExecFact{SSH: []string{"default"}})
	add(policy.ExecFact{Devices: []string{p.c.fresh}})
	of := func(list func(*policy.ExecRules) []string) []string {
		return p.texts(rules, func(b policy.Build) []string {
			if b.Exec == nil {
				return nil
			}
			return list(b.Exec)
		})
	}
	for _, s := range of(func(r *policy.ExecRules) []string { return r.Secrets }) {
		add(policy.ExecFact{Secrets: []string{s}})
	}
	for _, s := range of(func(r *policy.ExecRules) []string { return r.Hosts }) {
		add(policy.ExecFact{Hosts: []string{s}})
	}
	for _, s := range of(func(r *policy.ExecRules) []string { return r.CgroupParents }) {
		add(policy.ExecFact{CgroupParent: s})
	}
	for _, b := range rules {
		if b.Exec == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(b.Exec.Ulimits)) {
			for _, value := range []int{b.Exec.Ulimits[name], b.Exec.Ulimits[name] + 1, -1} {
				add(policy.ExecFact{Ulimits: map[string]int{name: value}})
			}
		}
	}
}

// config adds configurations of images: those that have all that each of the policies
// requires, each with one thing less or with one more.
func (p *prober) config(rules []policy.Build) {
	var all []demands
	var extra demands // in forbid, all that there is
	for _, b := range rules {
		if b.Config == nil {
			continue
		}
		d := demandsOf(b.Config)
		for i, list := range d.require {
			extra.forbid[i] = slices.Concat(extra.forbid[i], list, d.forbid[i])
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return
	}
	for _, d := range append(all, demands{}) {
		base := d.config(p.c.fresh, -1, "")
		for i := range fields {
			alike := []policy.Fact{base, d.config(p.c.fresh, i, "")}
			for _, g := range append(slices.Clone(extra.forbid[i]), "*") {
				alike = append(alike, d.config(p.c.fresh, i, g))
			}
			p.add(alike...)
		}
	}
}
