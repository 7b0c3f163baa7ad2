package policy

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Limits in bytes of the texts that are shown to people.
const (
	maxID      = 256
	maxContact = 512
)

// validator checks the values of a well-formed document, fills in defaults and compiles
// the patterns.
type validator struct {
	*strictyaml.Document
	loader *loader
	root   *yaml.Node
	policy *Policy
}

// addf adds a problem at the node.
func (v *validator) addf(
	n *yaml.Node, format string, args ...any,
) {
	v.Problemf(n, format, args...)
}

func (v *validator) report() strictyaml.Report { return v.addf }

func (v *validator) validate(k role) {
	p, root := v.policy, v.root
	if n := child(root, "version"); n == nil {
		v.addf(root, "the version is missing; write version: %d", Version)
	} else if p.doc.Version != Version {
		v.addf(n, "version %d is not known; this program reads version %d", p.doc.Version, Version)
	}
	if k == included {
		v.onlyIncluded()
	}
	v.text(root, "id", p.doc.ID, maxID, false)
	v.text(root, "contact", p.doc.Contact, maxContact, false)
	v.action(root, "default", &p.doc.Default, ActionDeny)
	v.mode(root, p.doc.Mode)
	if p.doc.Mode == "" {
		p.doc.Mode = ModeEnforce
	}
	if n := child(root, "defaultFrontend"); n != nil {
		if _, err := imageref.Parse(p.doc.DefaultFrontend); err != nil {
			v.addf(n, "defaultFrontend: %v", err)
		}
	}
	v.overlay(k)
	// An overlay that doesn't have these leaves them to the policy.
	v.permission(root, "llb", &p.doc.LLB, k == overlaid)
	v.permission(root, "debug", &p.doc.Debug, k == overlaid)
	v.dispatch(root, p.doc.Dispatch)
	if n := child(root, "build"); n != nil {
		p.doc.Build.Validate(n, v.addf)
	}
	if p.doc.Build != nil && p.doc.Build.Frontends != nil &&
		(p.doc.Default == ActionAllow || p.doc.Mode == ModeWarn) &&
		p.dispatch(nil) == DispatchForward {
		v.addf(child(child(root, "build"), "frontends"),
			"frontends can't be checked with dispatch: forward, as which frontends run that no rule allows; write dispatch: mediate")
	}
	v.limits()
	v.exports()
	v.caches()
	v.sbom()
	v.attest(k)
	v.administration()
	v.includes(k)
	v.aliases()
	v.rules(k)
}

func (v *validator) overlay(k role) {
	n := child(v.root, "overlay")
	if k == overlaid && n != nil {
		v.addf(n, "an overlay can't say which overlays are accepted; remove overlay")
		return
	}
	o := &v.policy.doc.Overlay
	switch {
	case o.Accept == "":
		o.Accept = AcceptNarrow
	case o.Accept != AcceptNone && o.Accept != AcceptNarrow:
		v.addf(child(n, "accept"), "accept must be none or narrow, not %s",
			safetext.Quote(string(o.Accept)))
	}
}

func (v *validator) limits() {
	n := child(v.root, "limits")
	if n == nil {
		return
	}
	l := &v.policy.doc.Limits
	if len(n.Content) == 0 {
		v.addf(n, "limits is empty; give it a field or remove it")
	}
	l.patterns = v.patterns(child(n, "match"), "match", l.Match)
	if l.Timeout != "" {
		d, err := time.ParseDuration(l.Timeout)
		if err != nil || d <= 0 || d > maxTimeout {
			v.addf(child(n, "timeout"), "timeout must be a time such as 30m or 2h, at most 24h, not %s",
				safetext.Quote(l.Timeout))
		}
		l.timeout = d
	}
	if l.Memory != "" {
		size, ok := parseSize(l.Memory)
		if !ok || size < minMemory || size > maxMemory {
			v.addf(child(n, "memory"),
				"memory must be a size such as 256MiB or 1GiB, from 64MiB to 64GiB, not %s",
				safetext.Quote(l.Memory))
		}
		l.memory = size
	}
	if at := child(n, "nesting"); at != nil && (l.Nesting < 1 || l.Nesting > maxNesting) {
		v.addf(at, "nesting must be from 1 to %d, not %d", maxNesting, l.Nesting)
	}
}

func (v *validator) dispatch(n *yaml.Node, d Dispatch) {
	switch d {
	case "", DispatchForward, DispatchMediate, DispatchBuiltin:
	default:
		v.addf(child(n, "dispatch"), "dispatch must be forward, mediate or builtin, not %s",
			safetext.Quote(string(d)))
	}
}

// patterns checks and compiles a list of match patterns.
func (v *validator) patterns(n *yaml.Node, key string, items []string) []imageref.Pattern {
	out := make([]imageref.Pattern, 0, len(items))
	v.list(n, key, items, func(s string) error {
		p, err := imageref.ParsePattern(s)
		out = append(out, p)
		return err
	})
	return out
}

// list checks a list of texts; an empty one is an error because it reads both
// as "no condition" and as "nothing".
func (v *validator) list(n *yaml.Node, key string, items []string, check func(string) error) {
	v.report().List(n, key, items, check)
}

// texts checks a mapping of texts as list does a list.
func (v *validator) texts(
	n *yaml.Node, key string, items map[string]string, check func(key, value string) error,
) {
	v.report().Map(n, key, items, check)
}

func (v *validator) text(n *yaml.Node, key, s string, limit int, newline bool) {
	if s == "" {
		return
	}
	if err := safetext.Check(s, limit, newline); err != nil {
		v.addf(child(n, key), "%s %v", key, err)
	}
}

func (v *validator) action(n *yaml.Node, key string, a *Action, missing Action) {
	switch *a {
	case "":
		*a = missing
	case ActionAllow, ActionDeny:
	default:
		v.addf(child(n, key), "%s must be allow or deny, not %s", key, safetext.Quote(string(*a)))
	}
}

func (v *validator) mode(n *yaml.Node, m Mode) {
	if m != "" && m != ModeEnforce && m != ModeWarn {
		v.addf(child(n, "mode"), "mode must be enforce or warn, not %s", safetext.Quote(string(m)))
	}
}
