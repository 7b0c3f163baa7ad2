package policy

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/renaming"
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
// what comes out is no reference, and if the reference has another digest than the pin.
func (p *Policy) rewrite(ref imageref.Reference) (rewritten, error) {
	for _, i := range p.renames.Find(ref.Name()) {
		a := &p.doc.Aliases[i]
		name, ok := a.Rename(ref.Name())
		if !ok {
			continue
		}
		target, err := ref.WithName(name)
		if err != nil {
			return rewritten{ref: ref},
				fmt.Errorf("the alias from %s to %s makes no image reference of it: %w", a.From, a.To, err)
		}
		out := rewritten{ref: target, alias: a}
		if d, ok := a.Pins[ref.Tag()]; ok && ref.Tag() != "" {
			out.pin = digest.Digest(d)
			if target.Digest() != "" && target.Digest() != out.pin {
				return rewritten{ref: ref}, fmt.Errorf("the alias from %s pins the tag %s to %s, not to %s: "+
					"write that digest or none", a.From, ref.Tag(), out.pin, target.Digest())
			}
			if out.ref, err = target.WithDigest(out.pin); err != nil {
				return rewritten{ref: ref}, err
			}
		}
		return out, nil
	}
	return rewritten{ref: ref}, nil
}

// newRenames returns an index of the names that aliases replace.
func newRenames(aliases []Alias) globs.Index {
	return globs.NewIndex(func(yield func(int, string) bool) {
		for i := range aliases {
			if !yield(i, aliases[i].from.String()) {
				return
			}
		}
	})
}

// Rename returns the name that replaces an image name, which is in canonical form. It returns
// false if the alias doesn't apply to the name.
func (a *Alias) Rename(name string) (string, bool) { return imageref.Rename(a.from, a.to, name) }

func (v *validator) aliases() {
	list := child(v.root, "aliases")
	for i := range v.policy.doc.Aliases {
		a, n := &v.policy.doc.Aliases[i], list.Content[i]
		a.file, a.line, a.column = v.File(), n.Line, n.Column
		var ok bool
		a.from, a.to, ok = renaming.Read(n, "alias", a.From, a.To, v.addf)
		pins := child(n, "pins")
		if pins == nil {
			continue
		}
		if ok && a.from.IsDirectory() {
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
