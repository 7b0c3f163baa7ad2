package buildrules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// explain compares the entries of rules on commands with what a command uses. It says nothing of
// the lists for what the command doesn't use.
func (r *ExecRules) explain(p *process) []Tried {
	if !r.restrictsUse() {
		return nil
	}
	out := r.Deny.explain(p)
	if r.onlyDenies() {
		return out
	}
	networks := r.Networks
	if networks == nil {
		networks = []string{NetworkNone, NetworkDefault}
	}
	out = append(out, Tried{
		Entry:   "exec.networks: " + strings.Join(networks, ", "),
		Matched: slices.Contains(networks, p.network), Reason: "the network is " + p.network,
	})
	if p.insecure {
		out = append(out, Tried{
			Entry: "exec.insecure: " + strconv.FormatBool(r.Insecure), Matched: r.Insecure,
			Reason: "the command runs without the sandbox",
		})
	}
	for _, u := range p.uses() {
		allowed, written := r.list(u.field)
		for _, s := range u.items {
			reason := "it uses " + u.what + " " + safetext.Quote(s)
			out = append(out, explainEach("exec."+u.field, written, reason, func(i int) bool {
				return globs.Match(allowed[i], s)
			})...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.ulimits)) {
		most, ok := r.ulimits[name]
		t := Tried{Entry: "exec.ulimits", Reason: "it lists no " + name}
		if ok {
			t.Entry = "exec.ulimits: " + name + ": " + ulimit(most)
			t.Matched = most == -1 || p.ulimits[name] != -1 && p.ulimits[name] <= most
			t.Reason = "the limit is " + ulimit(p.ulimits[name])
		}
		out = append(out, t)
	}
	return out
}

func (d *ExecDenials) explain(p *process) []Tried {
	if d == nil {
		return nil
	}
	var out []Tried
	if len(d.Networks) > 0 {
		out = append(out, Tried{
			Entry:   "exec.deny.networks: " + strings.Join(d.Networks, ", "),
			Matched: slices.Contains(d.Networks, p.network), Reason: "the network is " + p.network,
		})
	}
	if p.insecure && d.Insecure {
		out = append(out, Tried{
			Entry: "exec.deny.insecure", Matched: true, Reason: "the command runs without the sandbox",
		})
	}
	for _, u := range p.uses() {
		list := d.list(u.field)
		for _, s := range u.items {
			if len(list) == 0 {
				continue
			}
			reason := "it uses " + u.what + " " + safetext.Quote(s)
			out = append(out, explainEach("exec.deny."+u.field, list, reason, func(i int) bool {
				return d.only(u.field, list[i]).first(u.field, s) != ""
			})...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.ulimits)) {
		if len(d.ulimits) > 0 {
			out = append(out, explainEach("exec.deny.ulimits", d.ulimits, "it sets the ulimit "+name,
				func(i int) bool { return globs.Match(d.ulimits[i], name) })...)
		}
	}
	return out
}

// only returns denials that have one entry of one field.
func (d *ExecDenials) only(field, entry string) *ExecDenials {
	switch field {
	case "ssh":
		return &ExecDenials{SSH: List{entry}}
	case "secrets":
		return &ExecDenials{Secrets: []string{entry}}
	case "devices":
		return &ExecDenials{Devices: List{entry}}
	case "hosts":
		return &ExecDenials{hosts: []string{entry}}
	}
	return &ExecDenials{cgroupParents: []string{entry}}
}

// explainEach says of each entry of a list whether it matches. A list that isn't there allows
// nothing.
func explainEach(list string, written []string, reason string, matches func(int) bool) []Tried {
	if len(written) == 0 {
		return []Tried{{Entry: list, Reason: "it lists nothing; " + reason}}
	}
	out := make([]Tried, len(written))
	for i, entry := range written {
		out[i] = Tried{
			Entry: list + ": " + safetext.Printable(entry), Matched: matches(i), Reason: reason,
		}
	}
	return shorten(out, list)
}

// explain says of each entry whether the image has what it names.
func (s *ConfigSet) explain(c config) []Tried {
	var out []Tried
	if s.User != nil {
		out = append(out, s.User.explain("user", [][]string{c.user},
			func([]string) string { return "the user is " + safetext.Quote(c.user[0]) }, "")...)
	}
	if s.Labels != nil {
		out = append(out, s.Labels.explainItems("labels", "label", c.labels)...)
		for _, want := range s.Labels.values {
			value, ok := c.values[want.key]
			t := Tried{
				Entry: fmt.Sprintf("config.labels.values: %s=%s", safetext.Printable(want.key),
					safetext.Printable(want.value)),
				Matched: ok && globs.Match(want.value, value), Reason: "there is no such label",
			}
			if ok {
				t.Reason = "its value is " + safetext.Quote(value)
			}
			out = append(out, t)
		}
	}
	for _, d := range s.demands(c) {
		out = append(out, d.demand.explainItems(d.field, d.what, d.items)...)
	}
	return out
}

func (d *Demand) explainItems(field, what string, items []string) []Tried {
	spellings := make([][]string, len(items))
	for i, s := range items {
		spellings[i] = []string{s}
	}
	return d.explain(field, spellings,
		func(s []string) string { return "there is the " + what + " " + safetext.Quote(s[0]) },
		"there is no such "+what)
}

// explain compares the entries with items of an image. Each item has several spellings. has
// describes the item that an entry is for, and none is the reason without one. Without none, there
// is one item, and has describes it in any case.
func (d *Demand) explain(
	field string, items [][]string, has func([]string) string, none string,
) []Tried {
	each := func(list string, entries []entry, written []string) []Tried {
		out := make([]Tried, len(entries))
		for i := range entries {
			t := Tried{Entry: list + ": " + safetext.Printable(written[i]), Reason: none}
			found := slices.IndexFunc(items, func(spellings []string) bool {
				return matchesAny(entries[i:i+1], spellings...) >= 0
			})
			switch {
			case found >= 0:
				t.Matched, t.Reason = true, has(items[found])
			case none == "":
				t.Reason = has(items[0])
			}
			out[i] = t
		}
		return shorten(out, list)
	}
	return slices.Concat(each("config."+field+".forbid", d.forbid, d.Forbid),
		each("config."+field+".require", d.require, d.Require))
}
