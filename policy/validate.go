package policy

import (
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Limits in bytes of the texts that are shown to people.
const (
	maxName    = 256
	maxID      = 256
	maxContact = 512
	maxMessage = 2048
)

// validator checks what a well-formed document says, fills in what it leaves
// out and compiles the patterns.
type validator struct {
	*decoder
	root   *yaml.Node
	policy *Policy
}

func (v *validator) validate(overlay bool) {
	p, root := v.policy, v.root
	if n := child(root, "version"); n == nil {
		v.addf(root, "the version is missing; write version: %d", Version)
	} else if p.Version != Version {
		v.addf(n, "version %d is not known; this program reads version %d", p.Version, Version)
	}
	v.text(root, "id", p.ID, maxID, false)
	v.text(root, "contact", p.Contact, maxContact, false)
	v.action(root, "default", &p.Default, ActionDeny)
	if n := child(root, "defaultFrontend"); n != nil {
		if _, err := ParseReference(p.DefaultFrontend); err != nil {
			v.addf(n, "defaultFrontend: %v", err)
		}
	}
	v.overlay(overlay)
	v.rules()
}

func (v *validator) overlay(overlay bool) {
	n := child(v.root, "overlay")
	if overlay && n != nil {
		v.addf(n, "an overlay can't say which overlays are accepted; remove overlay")
		return
	}
	o := &v.policy.Overlay
	switch {
	case o.Accept == "":
		o.Accept = AcceptNarrow
	case o.Accept != AcceptNone && o.Accept != AcceptNarrow:
		v.addf(child(n, "accept"), "accept must be none or narrow, not %s", quote(string(o.Accept)))
	}
}

func (v *validator) rules() {
	list := child(v.root, "frontends")
	lines := map[string]int{}
	for i := range v.policy.Frontends {
		r, n := &v.policy.Frontends[i], list.Content[i]
		r.line, r.column = n.Line, n.Column
		if r.Name == "" {
			r.Name, r.unnamed = "frontends["+strconv.Itoa(i)+"]", true
		}
		at := n
		if !r.unnamed {
			at = child(n, "name")
		}
		if line, ok := lines[r.Name]; ok {
			v.addf(at, "the name %s is already that of the rule on line %d; names must be unique", quote(r.Name), line)
		}
		lines[r.Name] = r.line
		if r.Name == DefaultRule || r.Name == BuiltinRule {
			v.addf(at, "the name %s is reserved for decisions without a rule; choose another", quote(r.Name))
		}
		v.rule(r, n)
	}
}

func (v *validator) rule(r *Rule, n *yaml.Node) {
	v.text(n, "name", r.Name, maxName, false)
	v.text(n, "message", r.Message, maxMessage, true)
	v.action(n, "action", &r.Action, ActionAllow)
	if child(n, "match") == nil {
		v.addf(n, "the rule has no match; write match: [\"**\"] if it is for every frontend")
	}
	v.list(n, "match", r.Match, func(s string) error {
		p, err := parsePattern(s)
		r.patterns = append(r.patterns, p)
		return err
	})
	v.list(n, "tags", r.Tags, checkTagGlob)
	v.list(n, "digests", r.Digests, func(s string) error {
		_, err := parseDigest(s)
		return err
	})
	if at := child(n, "requireDigest"); at != nil && r.Action == ActionDeny {
		v.addf(at, "requireDigest has no meaning on a deny rule; remove it")
	}
}

// list checks a list of texts; an empty one is an error because it reads both
// as "no condition" and as "nothing".
func (v *validator) list(n *yaml.Node, key string, items []string, check func(string) error) {
	list := child(n, key)
	if list == nil {
		return
	}
	if len(items) == 0 {
		v.addf(list, "%s is empty; give it an entry or remove it", key)
	}
	for i, item := range items {
		if err := check(item); err != nil {
			v.addf(list.Content[i], "%s: %v", key, err)
		}
	}
}

func (v *validator) text(n *yaml.Node, key, s string, limit int, newline bool) {
	if at := child(n, key); at != nil {
		if err := checkText(s, limit, newline); err != nil {
			v.addf(at, "%s %v", key, err)
		}
	}
}

func (v *validator) action(n *yaml.Node, key string, a *Action, missing Action) {
	switch *a {
	case "":
		*a = missing
	case ActionAllow, ActionDeny:
	default:
		v.addf(child(n, key), "%s must be allow or deny, not %s", key, quote(string(*a)))
	}
}

// child returns the value of the mapping's field, or nil if it has none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
