package diff

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// exec adds commands that use one feature each.
func (p *prober) exec(rules []buildrules.Rules) {
	add := func(f buildrules.Exec) {
		alike := []buildrules.Operation{{Exec: &f}}
		for _, n := range networks() { // in case the rules refuse the default network
			other := f
			other.Network = n
			alike = append(alike, buildrules.Operation{Exec: &other})
		}
		p.add(alike...)
	}
	for _, n := range networks() {
		p.add(buildrules.Operation{Exec: &buildrules.Exec{Network: n}})
	}
	add(buildrules.Exec{Insecure: true})
	of := func(list func(*buildrules.ExecRules) []string) []string {
		return p.texts(rules, func(b buildrules.Rules) []string {
			if b.Exec == nil {
				return nil
			}
			return list(b.Exec)
		})
	}
	for _, s := range append(of(func(r *buildrules.ExecRules) []string {
		return slices.Concat(r.SSH, denials(r).SSH)
	}), "default") {
		add(buildrules.Exec{SSH: []string{s}})
	}
	for _, s := range of(func(r *buildrules.ExecRules) []string {
		return slices.Concat(r.Devices, denials(r).Devices)
	}) {
		add(buildrules.Exec{Devices: []string{s}})
	}
	for _, s := range of(func(r *buildrules.ExecRules) []string {
		return slices.Concat(r.Secrets, denials(r).Secrets)
	}) {
		add(buildrules.Exec{Secrets: []string{s}})
	}
	for _, s := range of(func(r *buildrules.ExecRules) []string {
		return slices.Concat(r.Hosts, denials(r).Hosts)
	}) {
		add(buildrules.Exec{Hosts: []string{s}})
	}
	for _, s := range of(func(r *buildrules.ExecRules) []string {
		return slices.Concat(r.CgroupParents, denials(r).CgroupParents)
	}) {
		add(buildrules.Exec{CgroupParent: s})
	}
	p.ulimits(rules, add)
}

func networks() []string {
	return []string{buildrules.NetworkNone, buildrules.NetworkDefault, buildrules.NetworkHost}
}

// containers adds a container with each network.
func (p *prober) containers([]buildrules.Rules) {
	alike := []buildrules.Operation{{Container: &buildrules.Exec{}}}
	for _, n := range networks() {
		alike = append(alike, buildrules.Operation{Container: &buildrules.Exec{Network: n}})
	}
	p.add(alike...)
}

// denials returns what the rules deny; never nil.
func denials(r *buildrules.ExecRules) *buildrules.ExecDenials {
	if r.Deny == nil {
		return &buildrules.ExecDenials{}
	}
	return r.Deny
}

// ulimits adds each known ulimit without a limit, and around the limits in the rules.
func (p *prober) ulimits(rules []buildrules.Rules, add func(buildrules.Exec)) {
	for _, name := range []string{
		"as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc",
		"rss", "rtprio", "rttime", "sigpending", "stack",
	} {
		add(buildrules.Exec{Ulimits: map[string]int{name: -1}})
	}
	for _, b := range rules {
		if b.Exec == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(b.Exec.Ulimits)) {
			for _, value := range []int{b.Exec.Ulimits[name], b.Exec.Ulimits[name] + 1, -1} {
				add(buildrules.Exec{Ulimits: map[string]int{name: value}})
			}
		}
	}
}
