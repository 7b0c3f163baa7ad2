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

// rewrite applies the first alias that is for the reference, once, and gives the reference the
// digest of a pin. It fails if what comes out is no reference, if the reference has another digest
// than the pin, and if pins for it differ.
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
			return out.pinned(aliasPin{from: a.From, digest: digest.Digest(d)}, ref)
		}
		return p.pin(out, ref)
	}
	return p.pin(rewritten{ref: ref}, ref)
}

// aliasPin is the digest that aliases give a tag.
type aliasPin struct {
	from    string // of the alias that is first
	digest  digest.Digest
	differs string // from of an alias that gives the same tag another digest, or ""
}

// aliasPins are the pins of aliases by name:tag.
type aliasPins map[string]aliasPin

func (m aliasPins) add(a *Alias, name, tag string) {
	p := aliasPin{from: a.From, digest: digest.Digest(a.Pins[tag])}
	if first, ok := m[name+":"+tag]; ok {
		if first.digest != p.digest && first.differs == "" {
			first.differs = a.From
		}
		p = first
	}
	m[name+":"+tag] = p
}

// newAliasPins returns the pins of aliases. The same image can be asked for by the name that an
// alias replaces and by the new one, so a pin is for both. exact has them as they are, and
// usual on the host that is usually written.
func newAliasPins(aliases []Alias) (exact, usual aliasPins) {
	exact, usual = aliasPins{}, aliasPins{}
	for i := range aliases {
		a := &aliases[i]
		if len(a.Pins) == 0 {
			continue
		}
		for _, name := range []string{a.from.String(), a.to.String()} {
			ref, err := imageref.Parse(name)
			if err != nil {
				continue // A pinned name is one repository.
			}
			for tag := range a.Pins {
				exact.add(a, ref.Name(), tag)
				usual.add(a, imageref.DefaultHost(ref).Name(), tag)
			}
		}
	}
	return exact, usual
}

// pin gives a reference the digest of a pin that isn't its alias's own, if there is one. What was
// asked for has the tag.
func (p *Policy) pin(out rewritten, asked imageref.Reference) (rewritten, error) {
	if len(p.pins) == 0 || asked.Tag() == "" {
		return out, nil
	}
	for _, pins := range []struct {
		of   aliasPins
		name string
	}{
		{p.pins, out.ref.Name()},
		{p.usualPins, imageref.DefaultHost(out.ref).Name()},
	} {
		if found, ok := pins.of[pins.name+":"+asked.Tag()]; ok {
			return out.pinned(found, asked)
		}
	}
	return out, nil
}

// pinned returns what was asked for with the digest of the pin.
func (r rewritten) pinned(p aliasPin, asked imageref.Reference) (rewritten, error) {
	if p.differs != "" {
		return rewritten{ref: asked}, fmt.Errorf("the aliases from %s and %s pin the tag %s of %s to "+
			"different digests: ask for another name", p.from, p.differs, asked.Tag(), r.ref.Name())
	}
	if d := r.ref.Digest(); d != "" && d != p.digest {
		return rewritten{ref: asked}, fmt.Errorf("the alias from %s pins the tag %s to %s, not to %s: "+
			"write that digest or none", p.from, asked.Tag(), p.digest, d)
	}
	var err error
	if r.ref, err = r.ref.WithDigest(p.digest); err != nil {
		return rewritten{ref: asked}, err
	}
	r.pin = p.digest
	return r, nil
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
