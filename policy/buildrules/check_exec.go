package buildrules

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// process is what a command uses, in canonical form.
type process struct {
	what         string
	network      string
	insecure     bool
	ssh          []string
	secrets      []string
	devices      []string
	hosts        []string
	ulimits      map[string]int
	cgroupParent string
}

func isNetwork(s string) bool { return s == NetworkNone || s == NetworkDefault || s == NetworkHost }

// normalizeHostName returns the form of a host name that resolvers compare.
func normalizeHostName(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }

// isHostName reports whether s can be one name in a hosts file. There, white space ends a name and
// a line break ends an entry (executor/oci/hosts.go).
func isHostName(s string) bool {
	return s != "" &&
		strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-._:") == ""
}

// hasEmptyLabel reports whether a host name has a dot too many. Some resolvers leave it out.
func hasEmptyLabel(s string) bool {
	return slices.Contains(strings.Split(strings.TrimSuffix(s, "."), "."), "")
}

// normalizeCgroup gives each control group one path. BuildKit joins the path to the root, with or
// without a slash at its beginning (executor/oci/spec.go).
func normalizeCgroup(s string) (string, error) {
	if slices.Contains(strings.Split(s, "/"), "..") {
		return "", errors.New("a control group with .. in its path")
	}
	return path.Clean("/" + s), nil
}

func isUlimit(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// normalize reads what a command uses. An error completes "it asks for".
func (e *Exec) normalize(what string) (Normalized, error) {
	p, err := e.process(what)
	return Normalized{process: p}, err
}

func (e *Exec) process(what string) (process, error) {
	p := process{
		what: what, network: e.Network, insecure: e.Insecure, ssh: e.SSH, secrets: e.Secrets,
		devices: e.Devices,
	}
	if p.network == "" {
		p.network = NetworkDefault
	}
	if !isNetwork(p.network) {
		return p,
			fmt.Errorf("%s with the network %s, which is not known", what, safetext.Quote(p.network))
	}
	for _, texts := range []struct {
		kind  string
		items []string
	}{
		{"the id of an ssh agent", e.SSH},
		{"the id of a secret", e.Secrets},
		{"the name of a device", e.Devices},
		{"the name of a host", e.Hosts},
	} {
		for _, s := range texts.items {
			if err := checkText(texts.kind, s); err != nil {
				return p, err
			}
		}
	}
	for _, h := range e.Hosts {
		if !isHostName(h) || hasEmptyLabel(h) {
			return p,
				fmt.Errorf("%s with an address for the host %s, which isn't a host name", what,
					safetext.Quote(h))
		}
		p.hosts = append(p.hosts, normalizeHostName(h))
	}
	var err error
	if p.ulimits, err = e.ulimits(what); err != nil {
		return p, err
	}
	if e.CgroupParent == "" {
		return p, nil
	}
	if err = checkText("the name of a control group", e.CgroupParent); err == nil {
		p.cgroupParent, err = normalizeCgroup(e.CgroupParent)
	}
	return p, err
}

// ulimits returns the limits by their names in lower case, nil if there are none.
func (e *Exec) ulimits(what string) (map[string]int, error) {
	if len(e.Ulimits) == 0 {
		return nil, nil
	}
	limits := make(map[string]int, len(e.Ulimits))
	for _, name := range slices.Sorted(maps.Keys(e.Ulimits)) {
		lower := strings.ToLower(name)
		_, twice := limits[lower]
		if e.Ulimits[name] < -1 || !isUlimit(lower) || twice {
			return nil,
				fmt.Errorf("%s with the ulimit %s of %d, which isn't valid", what, safetext.Quote(name),
					e.Ulimits[name])
		}
		limits[lower] = e.Ulimits[name]
	}
	return limits, nil
}

func (r *ExecRules) check(n Normalized) []Violation {
	if !r.restrictsUse() {
		return nil
	}
	p := &n.process
	found := r.Deny.check(p)
	if r.onlyDenies() {
		return found
	}
	networks := r.Networks
	if networks == nil {
		networks = []string{NetworkNone, NetworkDefault}
	}
	if !slices.Contains(networks, p.network) {
		found = append(found,
			violationf("exec.networks", "%s with the network %s: %s", p.what, p.network, allows(networks)))
	}
	if p.insecure && !r.Insecure {
		found = append(found,
			violationf("exec.insecure", "%s without the sandbox (security.insecure)", p.what))
	}
	for _, u := range p.uses() {
		allowed, written := r.list(u.field)
		for _, s := range u.items {
			if globs.First(allowed, s) == "" {
				found = append(found,
					violationf("exec."+u.field, "%s with %s %s: %s", p.what, u.what, safetext.Quote(s),
						allows(written)))
			}
		}
	}
	return append(found, r.capped(p)...)
}

// use is what a command uses by name.
type use struct {
	field, what string
	items       []string
}

// uses returns what a command uses that rules have lists for.
func (p *process) uses() []use {
	uses := []use{
		{"ssh", "the client's ssh agent", p.ssh},
		{"secrets", "the secret", p.secrets},
		{"devices", "the device", p.devices},
		{"hosts", "an address for the host", p.hosts},
	}
	if p.cgroupParent != "" {
		uses = append(uses, use{"cgroupParents", "the control group", []string{p.cgroupParent}})
	}
	return uses
}

// list returns the globs of a field, and the field as written.
func (r *ExecRules) list(field string) (allowed, written []string) {
	switch field {
	case "ssh":
		return r.SSH, r.SSH
	case "secrets":
		return r.Secrets, r.Secrets
	case "devices":
		return r.Devices, r.Devices
	case "hosts":
		return r.hosts, r.Hosts
	}
	return r.cgroupParents, r.CgroupParents
}

// list returns the globs of a field.
func (d *ExecDenials) list(field string) []string {
	switch field {
	case "ssh":
		return d.SSH
	case "secrets":
		return d.Secrets
	case "devices":
		return d.Devices
	case "hosts":
		return d.hosts
	}
	return d.cgroupParents
}

// first returns the first entry of a field that denies what a command calls s, or "".
func (d *ExecDenials) first(field, s string) string {
	names := []string{s}
	switch field {
	case "devices":
		return firstDevice(d.Devices, s)
	case "cgroupParents":
		names = groupsAbove(s)
	}
	i := slices.IndexFunc(d.list(field), func(g string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			return firstFolded([]string{g}, name) != ""
		})
	})
	if i < 0 {
		return ""
	}
	return d.list(field)[i]
}

// check returns a violation for each part of a command that is denied.
func (d *ExecDenials) check(p *process) []Violation {
	if d == nil {
		return nil
	}
	var found []Violation
	if slices.Contains(d.Networks, p.network) {
		found = append(found,
			violationf("exec.deny.networks: "+p.network, "%s with the network %s", p.what, p.network))
	}
	if p.insecure && d.Insecure {
		found = append(found,
			violationf("exec.deny.insecure", "%s without the sandbox (security.insecure)", p.what))
	}
	for _, u := range p.uses() {
		for _, s := range u.items {
			if g := d.first(u.field, s); g != "" {
				found = append(found,
					violationf("exec.deny."+u.field+": "+safetext.Printable(g), "%s with %s %s", p.what,
						u.what, safetext.Quote(s)))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.ulimits)) {
		if g := globs.First(d.ulimits, name); g != "" {
			found = append(found,
				violationf("exec.deny.ulimits: "+safetext.Printable(g), "%s with the ulimit %s", p.what,
					name))
		}
	}
	return found
}

// globs returns all entries that can have a star, as written.
func (r *ExecRules) globs() []string {
	all := slices.Concat(r.SSH, r.Secrets, r.Devices, r.Hosts, r.CgroupParents)
	if d := r.Deny; d != nil {
		all = slices.Concat(all, d.SSH, d.Secrets, d.Devices, d.Hosts, d.Ulimits, d.CgroupParents)
	}
	return all
}

// capped checks ulimits. On both sides, -1 means that there is no limit.
func (r *ExecRules) capped(p *process) []Violation {
	var found []Violation
	for _, name := range slices.Sorted(maps.Keys(p.ulimits)) {
		value := p.ulimits[name]
		most, ok := r.ulimits[name]
		switch {
		case !ok:
			found = append(found,
				violationf("exec.ulimits", "%s with the ulimit %s: %s", p.what, name,
					allows(slices.Sorted(maps.Keys(r.ulimits)))))
		case most != -1 && (value == -1 || value > most):
			found = append(found,
				violationf("exec.ulimits", "%s with the ulimit %s of %s: it allows at most %d", p.what, name,
					ulimit(value), most))
		}
	}
	return found
}

func ulimit(value int) string {
	if value == -1 {
		return "no limit"
	}
	return fmt.Sprint(value)
}
