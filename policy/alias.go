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
func (a *Alias) apply(name string) (string, bool) { return replaceName(a.from, a.to, name) }

// replaceName puts one repository, or one folder, in the place of another. It is
// false if the name is not from there.
func replaceName(from, to pattern, name string) (string, bool) {
	folder, ok := strings.CutSuffix(from.written, "**")
	if !ok {
		return to.written, name == from.written
	}
	rest, ok := strings.CutPrefix(name, folder)
	return strings.TrimSuffix(to.written, "**") + rest, ok
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
		ok := v.replacement(n, "alias", a.From, a.To, &a.from, &a.to)
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

// replacement checks the two sides of an alias or a conversion.
func (v *validator) replacement(n *yaml.Node, what, from, to string, fromOut, toOut *pattern) bool {
	ok := v.side(n, what, "from", from, fromOut)
	ok = v.side(n, what, "to", to, toOut) && ok
	if ok && fromOut.isFolder() != toOut.isFolder() {
		v.addf(child(n, "to"), "from and to must both end in /** or both not: the rest of the name is carried over")
	}
	return ok
}

func (v *validator) side(n *yaml.Node, what, key, s string, out *pattern) bool {
	at := child(n, key)
	if at == nil {
		v.addf(n, "the %s has no %s; it needs from and to", what, key)
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
