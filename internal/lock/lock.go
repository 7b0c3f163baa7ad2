// Package lock pins the tags that a policy allows to the digests that they have in their
// registry.
//
// [Find] returns these tags and the place of each pin. [Resolve] looks up the digests.
// [Edit] writes them into the policy's text and leaves everything else as it is.
//
// Pins belong to aliases. The pins for a rule's tags go to every alias that renames another
// name to the rule's repository. If there is no such alias, they go to a new alias from
// the repository to itself.
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

// Pin is the digest of a tag, in an alias of a policy.
type Pin struct {
	// Alias holds the pin. It is nil if the pin needs a new alias, from From to To.
	Alias *policy.Alias
	// From and To are the names of the alias in familiar form.
	From, To string
	// Before is the alias that must follow the new one. It is nil if the new alias comes
	// last in the policy's own file.
	Before *policy.Alias
	Tag    string
	// Old is the digest in the policy; "" if it has none.
	Old digest.Digest
	// New is the digest in the registry; "" before [Resolve].
	New digest.Digest
}

// Reference returns the reference to look up in the registry.
func (p Pin) Reference() (imageref.Reference, error) {
	return imageref.Parse(p.To + ":" + p.Tag)
}

// Moved reports whether the digest in the policy differs from that in the registry.
func (p Pin) Moved() bool { return p.Old != p.New }

// parallel is the number of registry requests at a time.
const parallel = 4

// Resolve sets New of all pins. It calls resolve once for each reference, from several
// goroutines. If references can't be looked up, the error has a reason for each.
func Resolve(
	ctx context.Context, pins []Pin,
	resolve func(context.Context, imageref.Reference) (digest.Digest, error),
) error {
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
