package policy

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// rewritten is a reference after the aliases of one document.
type rewritten struct {
	ref   imageref.Reference
	alias *Alias        // nil if none was for it
	pin   digest.Digest // the digest that the alias gives the tag, or ""
}

// rewrite applies the first alias that is for the reference, once. It fails if
// what comes out is no reference.
func (p *Policy) rewrite(ref imageref.Reference) (rewritten, error) {
	for i := range p.Aliases {
		a := &p.Aliases[i]
		name, ok := a.apply(ref.Name())
		if !ok {
			continue
		}
		target, err := ref.WithName(name)
		if err != nil {
			return rewritten{ref: ref}, fmt.Errorf("the alias from %s to %s makes no image reference of it: %w", a.From, a.To, err)
		}
		out := rewritten{ref: target, alias: a}
		if d, ok := a.Pins[ref.Tag()]; ok && ref.Tag() != "" {
			out.pin = digest.Digest(d)
			if target.Digest() == "" {
				if out.ref, err = target.WithDigest(out.pin); err != nil {
					return rewritten{ref: ref}, err
				}
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
func replaceName(from, to imageref.Pattern, name string) (string, bool) {
	folder, ok := strings.CutSuffix(from.String(), "**")
	if !ok {
		return to.String(), name == from.String()
	}
	rest, ok := strings.CutPrefix(name, folder)
	return strings.TrimSuffix(to.String(), "**") + rest, ok
}

// parseAliasName reads a side of an alias: a repository, or all below a folder.
func parseAliasName(s string) (imageref.Pattern, error) {
	if base := strings.TrimSuffix(s, "/**"); strings.Contains(base, "*") {
		return imageref.Pattern{}, fmt.Errorf("%s is not one repository; write its name, or /** at the end of both from and to", safetext.Quote(s))
	}
	return imageref.ParsePattern(s)
}

// isFolder reports whether the side of an alias is all below a folder.
func isFolder(p imageref.Pattern) bool { return strings.HasSuffix(p.String(), "/**") }

func (v *validator) aliases() {
	list := child(v.root, "aliases")
	for i := range v.policy.Aliases {
		a, n := &v.policy.Aliases[i], list.Content[i]
		a.file, a.line, a.column = v.File(), n.Line, n.Column
		ok := v.replacement(n, "alias", a.From, a.To, &a.from, &a.to)
		pins := child(n, "pins")
		if pins == nil {
			continue
		}
		if ok && isFolder(a.from) {
			v.addf(pins, "pins need a from that is one repository, and %s is many", safetext.Quote(a.From))
		}
		v.texts(pins, "pins", a.Pins, func(tag, d string) error {
			if err := imageref.CheckTag(tag); err != nil {
				return err
			}
			_, err := imageref.ParseDigest(d)
			return err
		})
	}
}

// replacement checks the two sides of an alias or a conversion.
func (v *validator) replacement(n *yaml.Node, what, from, to string, fromOut, toOut *imageref.Pattern) bool {
	ok := v.side(n, what, "from", from, fromOut)
	ok = v.side(n, what, "to", to, toOut) && ok
	if ok && isFolder(*fromOut) != isFolder(*toOut) {
		v.addf(child(n, "to"), "from and to must both end in /** or both not: the rest of the name is carried over")
	}
	return ok
}

func (v *validator) side(n *yaml.Node, what, key, s string, out *imageref.Pattern) bool {
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
