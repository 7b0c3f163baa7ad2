package buildrules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/renaming"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// validator checks and compiles rules. It reports mistakes at their nodes.
type validator struct{ report strictyaml.Report }

// Validate checks and compiles the rules, which the document has at the node. It must be called
// once before the rules are used. Mistakes are reported at their nodes, each as a sentence that
// says what to write instead. A kind without any field is a mistake: it reads both as "anything"
// and as "nothing".
func (r *Rules) Validate(at *yaml.Node, report func(n *yaml.Node, format string, args ...any)) {
	v := &validator{report}
	v.filled(at, "build")
	for i := range kinds {
		if field := strictyaml.Child(at, string(kinds[i].kind)); field != nil {
			v.filled(field, string(kinds[i].kind))
			kinds[i].validate(v, field, r)
		}
	}
}

func (v *validator) filled(n *yaml.Node, key string) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		v.report(n, "%s is empty; give it a field or remove it", key)
	}
}

// without refuses rules that only say that they require nothing.
func (v *validator) without(n *yaml.Node, kind, key string, demanded bool) {
	if len(n.Content) == 2 && strictyaml.Child(n, key) != nil && !demanded {
		v.report(n, "%s restricts nothing; give it an allow or deny, or remove it", kind)
	}
}

func (v *validator) containers(n *yaml.Node, a Action) {
	switch a {
	case "", ActionAllow, ActionDeny:
	default:
		v.report(n, "containers must be allow or deny, not %s", safetext.Quote(string(a)))
	}
}

func (v *validator) git(n *yaml.Node, r *GitRules) {
	r.urls = v.urls(n, KindGit, r.Allow, r.Deny)
	v.without(n, "git", "requireCommit", r.RequireCommit)
}

func (v *validator) http(n *yaml.Node, r *HTTPRules) {
	r.urls = v.urls(n, KindHTTP, r.Allow, r.Deny)
	v.without(n, "http", "requireChecksum", r.RequireChecksum)
}

func (v *validator) images(n *yaml.Node, r *ImageRules) {
	v.without(n, "images", "requireDigest", r.RequireDigest)
	r.allow = v.patterns(strictyaml.Child(n, "allow"), "allow", r.Allow)
	r.deny = v.denyPatterns(strictyaml.Child(n, "deny"), r.Deny)
	r.pins = map[string]digest.Digest{}
	v.report.Map(strictyaml.Child(n, "pins"), "pins", r.Pins, r.pin)
	list := strictyaml.Child(n, "convert")
	if list != nil && len(r.Convert) == 0 {
		v.report(list, "convert is empty; give it an entry or remove it")
	}
	for i := range r.Convert {
		c := &r.Convert[i]
		var ok bool
		c.from, c.to, ok = renaming.Read(list.Content[i], "conversion", c.From, c.To, v.report)
		if ok && !c.from.IsDirectory() {
			c.fromDirectory, c.toDirectory = directoryOf(c.From, c.from), directoryOf(c.To, c.to)
		}
	}
}

// directoryOf returns the directory of a name without a star. Directly below docker.io, a
// repository is in the directory library, and a directory isn't.
func directoryOf(s string, name imageref.Pattern) string {
	if imageref.HasHost(s) {
		if p, err := imageref.ParsePattern(s + "/**"); err == nil {
			return strings.TrimSuffix(p.String(), "**")
		}
	}
	return name.String() + "/"
}

// pin adds the digest of a name:tag.
func (r *ImageRules) pin(name, value string) error {
	ref, err := imageref.Parse(name)
	switch {
	case err != nil:
		return err
	case ref.Digest() != "":
		return fmt.Errorf("%s has a digest; write name:tag, and the digest as its value",
			safetext.Quote(name))
	}
	d, err := imageref.ParseDigest(value)
	if err != nil {
		return err
	}
	if _, twice := r.pins[ref.String()]; twice {
		return fmt.Errorf("%s is %s, which has a pin already", safetext.Quote(name), ref)
	}
	r.pins[ref.String()] = d
	return nil
}

func (v *validator) urls(n *yaml.Node, k Kind, allow, deny []string) urlRules {
	compile := func(key string, items []string) []urlmatch.Pattern {
		var out []urlmatch.Pattern
		v.report.List(strictyaml.Child(n, key), key, items, func(s string) error {
			p, err := urlmatch.ParsePattern(s, k.protocol())
			out = append(out, p)
			return err
		})
		return out
	}
	return urlRules{allow: compile("allow", allow), deny: compile("deny", deny)}
}

// patterns checks and compiles a list of name patterns.
func (v *validator) patterns(n *yaml.Node, key string, items []string) []imageref.Pattern {
	out := make([]imageref.Pattern, 0, len(items))
	v.report.List(n, key, items, func(s string) error {
		p, err := imageref.ParsePattern(s)
		out = append(out, p)
		return err
	})
	return out
}

// denyPatterns checks and compiles a list of patterns of names that are denied.
func (v *validator) denyPatterns(n *yaml.Node, items []string) []imageref.Pattern {
	out := make([]imageref.Pattern, 0, len(items))
	v.report.List(n, "deny", items, func(s string) error {
		patterns, err := imageref.ParseDenyPattern(s)
		out = append(out, patterns...)
		return err
	})
	return out
}

func (v *validator) repositories(n *yaml.Node, r *PatternRules) {
	r.allow = v.patterns(strictyaml.Child(n, "allow"), "allow", r.Allow)
	r.deny = v.denyPatterns(strictyaml.Child(n, "deny"), r.Deny)
}

func (v *validator) names(n *yaml.Node, r *NameRules) {
	v.report.List(strictyaml.Child(n, "allow"), "allow", r.Allow, checkGlob)
	v.report.List(strictyaml.Child(n, "deny"), "deny", r.Deny, checkGlob)
}

// checkGlob checks a glob for plain names.
func checkGlob(s string) error {
	if err := safetext.Check(s, imageref.MaxSize, false); err != nil {
		return fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	return nil
}

func (v *validator) exec(n *yaml.Node, r *ExecRules) {
	v.report.List(strictyaml.Child(n, "networks"), "networks", r.Networks, func(s string) error {
		if !isNetwork(s) {
			return fmt.Errorf("%s isn't one of the networks none, default and host", safetext.Quote(s))
		}
		return nil
	})
	v.report.List(strictyaml.Child(n, "secrets"), "secrets", r.Secrets, checkGlob)
	v.report.List(strictyaml.Child(n, "hosts"), "hosts", r.Hosts, func(s string) error {
		r.hosts = append(r.hosts, normalizeHostName(s))
		return checkGlob(s)
	})
	v.report.List(strictyaml.Child(n, "cgroupParents"), "cgroupParents", r.CgroupParents,
		func(s string) error {
			parent, err := normalizeCgroup(s)
			r.cgroupParents = append(r.cgroupParents, parent)
			return errors.Join(checkGlob(s), err)
		})
	if at := strictyaml.Child(n, "ulimits"); at != nil {
		v.ulimits(at, r)
	}
}

func (v *validator) ulimits(n *yaml.Node, r *ExecRules) {
	v.filled(n, "ulimits")
	r.ulimits = make(map[string]int, len(r.Ulimits))
	for _, name := range slices.Sorted(maps.Keys(r.Ulimits)) {
		at := strictyaml.Child(n, name)
		lower := strings.ToLower(name)
		if _, twice := r.ulimits[lower]; twice {
			v.report(at, "ulimits: %s is set twice, in upper and lower case", safetext.Quote(name))
		}
		if !isUlimit(lower) {
			v.report(at, "ulimits: %s isn't the name of a ulimit; write one such as nofile",
				safetext.Quote(name))
		}
		if r.Ulimits[name] < -1 {
			v.report(at, "ulimits: %s must be at least 0, or -1 for any", safetext.Quote(name))
		}
		r.ulimits[lower] = r.Ulimits[name]
	}
}

func (v *validator) config(n *yaml.Node, r *ConfigRules) {
	for _, d := range []struct {
		key       string
		demand    *Demand
		normalize func(string) (string, error)
	}{
		{"user", r.User, userEntry},
		{"labels", r.Labels, plainEntry},
		{"env", r.Env, plainEntry},
		{"ports", r.Ports, portEntry},
		{"volumes", r.Volumes, volumeEntry},
	} {
		at := strictyaml.Child(n, d.key)
		if at == nil {
			continue
		}
		v.filled(at, d.key)
		d.demand.require = v.demanded(strictyaml.Child(at, "require"), "require", d.demand.Require,
			d.normalize)
		d.demand.forbid = v.demanded(strictyaml.Child(at, "forbid"), "forbid", d.demand.Forbid,
			d.normalize)
	}
}

func (v *validator) demanded(
	n *yaml.Node, key string, items []string, normalize func(string) (string, error),
) []string {
	var out []string
	v.report.List(n, key, items, func(s string) error {
		if err := checkGlob(s); err != nil {
			return err
		}
		entry, err := normalize(s)
		out = append(out, entry)
		return err
	})
	return out
}
