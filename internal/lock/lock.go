// Package lock pins the tags that a policy allows to the digests that they have in
// their registry.
//
// Find says which tags those are and where each pin belongs, Resolve looks them up,
// and Edit writes them into the policy's text, of which everything else stays as it
// is.
//
// A pin stands with an alias of the policy. For a tag of a rule these are all aliases
// that make the rule's repository of another name; where there are none, a new alias
// keeps the name and only holds the pins.
package lock

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Pin is a tag of an alias, and its digest.
type Pin struct {
	// Alias holds the pin; nil if it needs a new one from From to To.
	Alias *policy.Alias
	// From and To are the names of the alias, as Docker users write them.
	From, To string
	// Before is the alias that a new one has to stand before; nil if it comes last in
	// the policy's own file.
	Before *policy.Alias
	Tag    string
	// Old is the digest that the policy has; "" if it has none.
	Old digest.Digest
	// New is the digest that the registry has; "" before Resolve.
	New digest.Digest
}

// Reference is what the registry is asked for.
func (p Pin) Reference() (imageref.Reference, error) {
	return imageref.Parse(p.To + ":" + p.Tag)
}

// Moved reports whether the policy doesn't have the digest that the registry has.
func (p Pin) Moved() bool { return p.Old != p.New }

// parallel is how many registry requests are under way at once.
const parallel = 4

// Resolve fills in New of all pins, each reference looked up once by resolve, which
// is called from several goroutines. It fails with what was wrong for each reference
// that can't be looked up.
func Resolve(ctx context.Context, pins []Pin, resolve func(context.Context, imageref.Reference) (digest.Digest, error)) error {
	type answer struct {
		digest digest.Digest
		err    error
	}
	answers := map[string]*answer{}
	var order []string
	var wait sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, p := range pins {
		ref, err := p.Reference()
		if err != nil {
			return err
		}
		name := ref.String()
		if answers[name] != nil {
			continue
		}
		a := &answer{}
		answers[name] = a
		order = append(order, name)
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a.digest, a.err = resolve(ctx, ref)
		})
	}
	wait.Wait()
	var errs []error
	for _, name := range order {
		if a := answers[name]; a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, a.err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for i := range pins {
		ref, err := pins[i].Reference()
		if err != nil {
			return err
		}
		pins[i].New = answers[ref.String()].digest
	}
	return nil
}
