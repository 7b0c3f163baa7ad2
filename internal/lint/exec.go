package lint

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// use is a list of what commands can use, and the list of what they can't.
type use struct {
	field       string
	allow, deny []string
	fold        bool // whether letter case never matters
}

// networks returns the networks that commands can use by rules that don't only deny.
func (c *checker) networks(b *buildrules.Rules) []string {
	switch whole := c.doc.Build; {
	case b.Exec.Networks != nil:
		return b.Exec.Networks
	case whole != nil && whole.Exec != nil && whole.Exec.Networks != nil:
		return whole.Exec.Networks
	}
	return []string{buildrules.NetworkNone, buildrules.NetworkDefault}
}

func (c *checker) usesOf(b *buildrules.Rules) []use {
	r := b.Exec
	d := r.Deny
	if d == nil {
		d = &buildrules.ExecDenials{}
	}
	return []use{
		{"networks", c.networks(b), d.Networks, false},
		{"ssh", r.SSH, d.SSH, false},
		{"secrets", r.Secrets, d.Secrets, false},
		{"devices", r.Devices, d.Devices, false},
		{"hosts", r.Hosts, d.Hosts, true},
		{"ulimits", slices.Sorted(maps.Keys(r.Ulimits)), d.Ulimits, true},
		{"cgroupParents", r.CgroupParents, d.CgroupParents, false},
	}
}

// noNetwork looks for rules that deny each network that commands can use.
func (c *checker) noNetwork(b *buildrules.Rules, onlyDenies bool, tell tell) {
	r := b.Exec
	if r.Deny == nil || len(r.Deny.Networks) == 0 {
		return
	}
	networks := c.networks(b)
	if onlyDenies {
		networks = []string{
			buildrules.NetworkNone, buildrules.NetworkDefault, buildrules.NetworkHost,
		}
	}
	if !slices.ContainsFunc(networks, func(n string) bool {
		return !slices.Contains(r.Deny.Networks, n)
	}) {
		tell(BuildAllowRefused, "build.exec.deny.networks has each network that commands can use, so "+
			"every command is refused; leave one, or write exec: deny")
	}
}

// withoutNetwork looks for rules on the downloads of commands that have no network.
func (c *checker) withoutNetwork(b *buildrules.Rules, tell tell) {
	effective := *b
	if whole := c.doc.Build; whole != nil && b != whole {
		effective = b.Under(whole)
	}
	for _, network := range []string{buildrules.NetworkDefault, buildrules.NetworkHost} {
		n, err := buildrules.Operation{
			Exec: &buildrules.Exec{Network: network},
		}.Normalize(buildrules.KindExec)
		if err != nil {
			return
		}
		_, found, err := effective.Check(n)
		refuses := func(v buildrules.Violation) bool { return !v.Warns }
		if err != nil || !slices.ContainsFunc(found, refuses) {
			return
		}
	}
	if !c.replaced(b, buildrules.KindExec) {
		tell(EntryWithoutEffect, "build.exec.downloads has no effect, because no command can have a "+
			"network; remove it, or allow the network default")
	}
}

// exec checks rules on commands.
func (c *checker) exec(b *buildrules.Rules, tell tell) {
	r := b.Exec
	if slices.Contains(r.Networks, buildrules.NetworkHost) {
		tell(HostNetwork, "build.exec.networks has host, so commands can reach everything that the "+
			"daemon's machine can, including its local services; remove it")
	}
	if r.Insecure {
		tell(InsecureExec, "build.exec.insecure lets commands run without the sandbox, as root on "+
			"the daemon's machine; remove it")
	}
	onlyDenies := r.Deny != nil && !r.Insecure && len(r.Ulimits) == 0 && r.Networks == nil &&
		r.SSH == nil && r.Secrets == nil && r.Devices == nil && r.Hosts == nil && r.CgroupParents == nil
	c.noNetwork(b, onlyDenies, tell)
	for _, u := range c.usesOf(b) {
		field := "build.exec." + u.field
		repeated("build.exec.deny."+u.field, u.deny, byGlob(u.deny, u.field != "cgroupParents"), tell)
		if onlyDenies {
			continue
		}
		if u.field == "networks" && r.Networks == nil {
			if !c.replaced(b, buildrules.KindExec) {
				unlistedTexts("build.exec.deny.networks", u.allow, u.deny, tell)
			}
			continue
		}
		repeated(field, u.allow, byGlob(u.allow, u.fold), tell)
		// In cgroupParents, deny is for all groups below a path.
		if u.field != "cgroupParents" || len(u.allow) == 0 {
			refusedTexts(field, u.allow, u.deny, tell)
			// What denies one device is also for its kind alone.
			if u.field != "devices" && !c.replaced(b, buildrules.KindExec) {
				unlistedTexts("build.exec.deny."+u.field, u.allow, u.deny, tell)
			}
		}
		if what := broadUse(u); what != "" {
			tell(ExecAllowsAny, "%s has *, so commands can use %s; name those that builds need", field, what)
		}
	}
}

// broadUse says what commands can use if the list has a star alone, or "".
func broadUse(u use) string {
	if len(u.deny) > 0 || !slices.ContainsFunc(u.allow, isAnyTag) {
		return ""
	}
	switch u.field {
	case "secrets":
		return "every secret of the client"
	case "ssh":
		return "every ssh agent of the client"
	case "devices":
		return "every device of the builder"
	}
	return ""
}
