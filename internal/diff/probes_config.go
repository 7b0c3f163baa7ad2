package diff

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// The fields of a configuration for which there are rules.
const (
	fieldUser = iota
	fieldLabels
	fieldEnv
	fieldPorts
	fieldVolumes
	fields
)

// demands are rules on a configuration, by field.
type demands struct {
	require, forbid [fields][]string
	values          map[string]string // of labels
}

func demandsOf(r *buildrules.ConfigRules) demands {
	var d demands
	for i, of := range []*buildrules.Demand{
		fieldUser: r.User, fieldLabels: nil, fieldEnv: r.Env,
		fieldPorts: r.Ports, fieldVolumes: r.Volumes,
	} {
		if of != nil {
			d.require[i], d.forbid[i] = of.Require, of.Forbid
		}
	}
	if l := r.Labels; l != nil {
		d.require[fieldLabels], d.forbid[fieldLabels], d.values = l.Require, l.Forbid, l.Values
	}
	return d
}

// config returns a configuration with an example of every required value. In the given field,
// it has nothing, or additionally an example of the glob if that isn't empty.
func (d demands) config(fill string, field int, glob string) buildrules.Operation {
	f := buildrules.Config{Labels: map[string]string{}}
	for key, value := range d.values {
		f.Labels[key] = globs.Example(value, fill)
	}
	set := func(i int, g string) {
		s := globs.Example(g, fill)
		switch i {
		case fieldUser:
			f.User = exampleUser(s)
		case fieldLabels:
			if _, ok := f.Labels[s]; !ok {
				f.Labels[s] = ""
			}
		case fieldEnv:
			f.Env = append(f.Env, s)
		case fieldPorts:
			f.Ports = append(f.Ports, examplePort(g))
		case fieldVolumes:
			f.Volumes = append(f.Volumes, s)
		}
	}
	for i, list := range d.require {
		if i == field && glob == "" {
			continue
		}
		if i == fieldUser && len(list) > 0 {
			list = list[:1] // One of them is enough.
		}
		for _, g := range list {
			set(i, g)
		}
	}
	if glob != "" {
		set(field, glob)
	}
	return buildrules.Operation{Config: &f}
}

// variants returns configurations with an example of the glob in the field.
func (d demands) variants(fill string, field int, glob string) []buildrules.Operation {
	globs := []string{glob}
	if field == fieldPorts {
		globs = examplePorts(glob)
	}
	var out []buildrules.Operation
	for _, g := range globs {
		out = append(out, d.config(fill, field, g))
	}
	if _, ok := d.values[glob]; ok && field == fieldLabels {
		other := d
		other.values = maps.Clone(d.values)
		other.values[glob] = fill
		without := d
		without.values = maps.Clone(d.values)
		delete(without.values, glob)
		out = append(out, other.config(fill, -1, ""), without.config(fill, -1, ""))
	}
	return out
}

// examplePort returns a port that an entry for ports matches.
func examplePort(entry string) string {
	if all := examplePorts(entry); len(all) > 0 {
		return all[0]
	}
	return entry
}

// examplePorts returns ports that an entry for ports matches, and some next to a range: of a glob,
// one that begins or ends with each digit.
func examplePorts(entry string) []string {
	number, protocol, ok := strings.Cut(entry, "/")
	if !ok {
		protocol = "*"
	}
	var numbers []int
	add := func(s string, next ...int) {
		n, err := strconv.Atoi(s)
		for _, by := range append([]int{0}, next...) {
			if err == nil && n+by > 0 && n+by < 1<<16 {
				numbers = append(numbers, n+by)
			}
		}
	}
	if from, to, isRange := strings.Cut(number, "-"); isRange {
		add(from, -1)
		add(to, 1)
	} else {
		for _, fill := range strings.Split(" 1 2 3 4 5 6 7 8 9", " ") {
			add(globs.Example(number, fill))
		}
	}
	var out []string
	for _, n := range numbers {
		for _, known := range []string{"tcp", "udp", "sctp"} {
			if port := strconv.Itoa(n) + "/" + known; globs.Match(protocol, known) &&
				!slices.Contains(out, port) {
				out = append(out, port)
			}
		}
	}
	return out
}

// exampleUser returns the lowest user of a range, and any other entry as it is.
func exampleUser(entry string) string {
	from, to, ok := strings.Cut(entry, "-")
	if strings.Trim(from+to, "0123456789") == "" && ok && from != "" && to != "" {
		return from
	}
	return entry
}
