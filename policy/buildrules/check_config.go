package buildrules

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const rootUser = "root"

// maxUser is the highest user number that all container runtimes read correctly.
const maxUser = 1<<31 - 1

// config is the configuration of an image, in canonical form.
type config struct {
	what                        string
	user                        []string // its spellings, the plainest first
	labels, env, ports, volumes []string
	values                      map[string]string // of labels
	target                      string            // in lower case; "" if it isn't certain
	runnable                    bool
}

// normalize reads the configuration. An error completes "it asks for".
func (f *Config) normalize() (Normalized, error) {
	c, err := f.config()
	return Normalized{config: c}, err
}

func (f *Config) config() (config, error) {
	c := config{
		what: "the image that is built", labels: slices.Sorted(maps.Keys(f.Labels)),
		values: f.Labels, target: certainTarget(f.Target),
		runnable: len(f.Entrypoint)+len(f.Cmd) > 0,
	}
	c.env = f.variables()
	if f.Platform != "" {
		c.what += " for " + safetext.Printable(f.Platform)
	}
	var err error
	note := func(bad error) {
		if err == nil {
			err = bad
		}
	}
	for _, texts := range []struct {
		what  string
		items []string
	}{
		{"a user", []string{f.User}},
		{"a label", c.labels},
		{"an environment variable", c.env},
		{"a port", f.Ports},
		{"a volume", f.Volumes},
	} {
		for _, s := range texts.items {
			note(checkText(texts.what, s))
		}
	}
	name, _, _ := strings.Cut(f.User, ":")
	user, bad := normalizeUser(name)
	note(bad)
	c.user = []string{user}
	if user == rootUser {
		c.user = []string{rootUser, "0", ""}
	}
	for _, s := range f.Ports {
		port, bad := normalizePort(s)
		note(bad)
		c.ports = append(c.ports, port)
	}
	for _, s := range f.Volumes {
		volume, bad := normalizeVolume(s)
		note(bad)
		c.volumes = append(c.volumes, volume)
	}
	if err != nil {
		return c, fmt.Errorf("%s with %w", c.what, err)
	}
	return c, nil
}

// variables returns the names of the environment variables.
func (f *Config) variables() []string {
	var names []string
	for _, s := range f.Env {
		name, _, _ := strings.Cut(s, "=")
		names = append(names, name)
	}
	return names
}

// normalizeUser gives each user one spelling. Container runtimes read a number with strconv.Atoi,
// so +0 and 00 are root too. Some truncate a number that is too large.
func normalizeUser(s string) (string, error) {
	id, err := strconv.Atoi(s)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (id < 0 || id > maxUser):
		return "", fmt.Errorf("the user %s, which isn't a valid user number", safetext.Quote(s))
	case err == nil && id != 0:
		return strconv.Itoa(id), nil
	case err == nil, s == "":
		return rootUser, nil
	}
	return s, nil
}

// normalizePort gives each port one spelling, such as 80/tcp. It refuses a range.
func normalizePort(s string) (string, error) {
	number, protocol, ok := strings.Cut(strings.ToLower(s), "/")
	if !ok {
		protocol = "tcp"
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 || protocol == "" {
		return "", fmt.Errorf("the port %s, which is not one port", safetext.Quote(s))
	}
	return strconv.FormatUint(n, 10) + "/" + protocol, nil
}

// normalizeVolume gives each volume one path. Container runtimes resolve a relative path from the
// root.
func normalizeVolume(s string) (string, error) {
	if s == "" || slices.Contains(strings.Split(s, "/"), "..") {
		return "", fmt.Errorf("the volume %s, which isn't a plain path", safetext.Quote(s))
	}
	return path.Clean("/" + s), nil
}

func (r *ConfigRules) check(n Normalized) []Violation {
	var found []Violation
	for _, s := range r.All() {
		if s.isFor(n.config) {
			found = append(found, s.violations(n.config)...)
		}
	}
	return found
}

// demanded is one list of a configuration, with the conditions on its items.
type demanded struct {
	demand      *Demand
	field, what string
	items       []string
}

// demands returns the lists of which nothing but the items count, if there are conditions on them.
func (s *ConfigSet) demands(c config) []demanded {
	return slices.DeleteFunc([]demanded{
		{s.Env, "env", "environment variable", c.env},
		{s.Ports, "ports", "port", c.ports},
		{s.Volumes, "volumes", "volume", c.volumes},
	}, func(d demanded) bool { return d.demand == nil })
}

func (s *ConfigSet) violations(c config) []Violation {
	var found []Violation
	if s.User != nil {
		found = append(found, s.User.user(c)...)
	}
	if s.Labels != nil {
		found = append(found, s.Labels.check(c, "labels", "label", c.labels)...)
		found = append(found, s.Labels.checkValues(c)...)
	}
	for _, d := range s.demands(c) {
		found = append(found, d.demand.check(c, d.field, d.what, d.items)...)
	}
	if c.runnable {
		return found
	}
	for i, v := range found {
		found[i].Hint = notRunnable
		if strings.HasPrefix(v.Rule, "config.user.") {
			found[i].Hint += setUser
		}
	}
	return found
}

// check checks one list of the configuration.
func (d *Demand) check(c config, field, what string, items []string) []Violation {
	var found []Violation
	for _, s := range items {
		if i := matchesAny(d.forbid, s); i >= 0 {
			found = append(found,
				violationf(fmt.Sprintf("config.%s.forbid: %s", field, safetext.Printable(d.Forbid[i])),
					"%s: it has the %s %s", c.what, what, safetext.Quote(s)))
		}
	}
	for i, e := range d.require {
		if !slices.ContainsFunc(items, e.matches) {
			found = append(found,
				violationf(fmt.Sprintf("config.%s.require", field), "%s: it has no %s %s", c.what, what,
					safetext.Quote(d.Require[i])))
		}
	}
	return found
}

// checkValues checks the values of labels.
func (d *LabelDemand) checkValues(c config) []Violation {
	const rule = "config.labels.values"
	var found []Violation
	for _, want := range d.values {
		value, ok := c.values[want.key]
		switch {
		case !ok:
			found = append(found, violationf(rule, "%s: it has no label %s, which must be %s", c.what,
				safetext.Quote(want.key), safetext.Quote(want.value)))
		case len(value) > imageref.MaxSize:
			found = append(found, violationf(rule, "%s: its label %s has %d bytes, and must be %s", c.what,
				safetext.Quote(want.key), len(value), safetext.Quote(want.value)))
		case !globs.Match(want.value, value):
			found = append(found, violationf(rule, "%s: its label %s is %s, and must be %s", c.what,
				safetext.Quote(want.key), safetext.Quote(value), safetext.Quote(want.value)))
		}
	}
	return found
}

// user checks the user. One of the required users is enough.
func (d *Demand) user(c config) []Violation {
	if i := matchesAny(d.forbid, c.user...); i >= 0 {
		return []Violation{
			violationf("config.user.forbid: "+safetext.Quote(d.Forbid[i]), "%s: its user is %s", c.what,
				safetext.Quote(c.user[0])),
		}
	}
	if len(d.require) > 0 && matchesAny(d.require, c.user...) < 0 {
		return []Violation{
			violationf("config.user.require", "%s: its user is %s, and %s", c.what,
				safetext.Quote(c.user[0]), allows(d.Require)),
		}
	}
	return nil
}

// globs returns the entries of all demands, as written.
func (r *ConfigRules) globs() []string {
	var all []string
	for _, s := range r.All() {
		all = slices.Concat(all, s.Targets, s.ExceptTargets)
		for _, d := range []*Demand{s.User, s.Env, s.Ports, s.Volumes} {
			if d != nil {
				all = slices.Concat(all, d.Require, d.Forbid)
			}
		}
		if s.Labels != nil {
			all = slices.Concat(all, s.Labels.Require, s.Labels.Forbid)
			for _, v := range s.Labels.values {
				all = append(all, v.key, v.value)
			}
		}
	}
	return all
}
