package diff

import (
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
type demands struct{ require, forbid [fields][]string }

func demandsOf(r *buildrules.ConfigRules) demands {
	var d demands
	for i, of := range []*buildrules.Demand{
		fieldUser: r.User, fieldLabels: r.Labels, fieldEnv: r.Env,
		fieldPorts: r.Ports, fieldVolumes: r.Volumes,
	} {
		if of != nil {
			d.require[i], d.forbid[i] = of.Require, of.Forbid
		}
	}
	return d
}

// config returns a configuration with an example of every required value. In the given field,
// it has nothing, or additionally an example of the glob if that isn't empty.
func (d demands) config(fill string, field int, glob string) buildrules.Operation {
	var f buildrules.Config
	set := func(i int, g string) {
		s := globs.Example(g, fill)
		switch i {
		case fieldUser:
			f.User = s
		case fieldLabels:
			if f.Labels == nil {
				f.Labels = map[string]string{}
			}
			f.Labels[s] = ""
		case fieldEnv:
			f.Env = append(f.Env, s)
		case fieldPorts:
			if globs.Open(g) {
				s = globs.Example(g, "65000") // A port is a number.
			}
			f.Ports = append(f.Ports, s)
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
