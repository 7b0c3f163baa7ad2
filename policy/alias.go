package policy

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"
)

// rewritten is a reference after the aliases of one document.
type rewritten struct {
	ref   Reference
	alias *Alias        // nil if none was for it
	pin   digest.Digest // the digest that the alias gives the tag, or ""
}

// rewrite applies the first alias that is for the reference, once. It fails if
// what comes out is no reference.
func (p *Policy) rewrite(ref Reference) (rewritten, error) {
	for i := range p.Aliases {
		a := &p.Aliases[i]
		name, ok := a.apply(ref.Name())
		if !ok {
			continue
		}
		target, err := ParseReference(name + ref.suffix())
		if err != nil {
			return rewritten{ref: ref}, fmt.Errorf("the alias from %s to %s makes no image reference of it: %w", a.From, a.To, err)
		}
		out := rewritten{ref: target, alias: a}
		if d, ok := a.Pins[ref.Tag()]; ok && ref.Tag() != "" {
			out.pin = digest.Digest(d)
			if out.ref.digest == "" {
				out.ref.digest = out.pin
			}
		}
		return out, nil
	}
	return rewritten{ref: ref}, nil
}

// apply returns what the alias makes of a name. It is false if the alias is not
// for it.
func (a *Alias) apply(name string) (string, bool) {
	folder, ok := strings.CutSuffix(a.from.String(), "**")
	if !ok {
		return a.to.String(), name == a.from.String()
	}
	rest, ok := strings.CutPrefix(name, folder)
	return strings.TrimSuffix(a.to.String(), "**") + rest, ok
}

// parseAliasName reads a side of an alias: a repository, or all below a folder.
func parseAliasName(s string) (pattern, error) {
	if base := strings.TrimSuffix(s, "/**"); strings.Contains(base, "*") {
		return pattern{}, fmt.Errorf("%s is not one repository; write its name, or /** at the end of both from and to", quote(s))
	}
	return parsePattern(s)
}

// isFolder reports whether the side of an alias is all below a folder.
func (p pattern) isFolder() bool { return strings.HasSuffix(p.written, "/**") }

func (v *validator) aliases() {
	list := child(v.root, "aliases")
	for i := range v.policy.Aliases {
		a, n := &v.policy.Aliases[i], list.Content[i]
		a.file, a.line, a.column = v.file, n.Line, n.Column
		ok := v.aliasName(n, "from", a.From, &a.from)
		ok = v.aliasName(n, "to", a.To, &a.to) && ok
		if ok && a.from.isFolder() != a.to.isFolder() {
			v.addf(child(n, "to"), "from and to must both end in /** or both not: the rest of the name is carried over")
		}
		pins := child(n, "pins")
		if pins == nil {
			continue
		}
		if ok && a.from.isFolder() {
			v.addf(pins, "pins need a from that is one repository, and %s is many", quote(a.From))
		}
		v.texts(pins, "pins", a.Pins, func(tag, d string) error {
			if err := checkTag(tag); err != nil {
				return err
			}
			_, err := parseDigest(d)
			return err
		})
	}
}

func (v *validator) aliasName(n *yaml.Node, key, s string, out *pattern) bool {
	at := child(n, key)
	if at == nil {
		v.addf(n, "the alias has no %s; it needs from and to", key)
		return false
	}
	p, err := parseAliasName(s)
	if err != nil {
		v.addf(at, "%s: %v", key, err)
		return false
	}
	*out = p
	return true
}
