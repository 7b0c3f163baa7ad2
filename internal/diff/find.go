package diff

import (
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Base is a policy with which others are compared, one after the other.
type Base struct {
	side *side
	at   time.Time
}

// NewBase returns a base for requests at the given time and later. The policy must come from
// package policy.
func NewBase(p *policy.Policy, at time.Time) Base { return Base{newSide(p), at} }

// Find looks for a sample request whose decisions by the base and by another policy meet the
// condition. It makes the samples from what differs between the two, as [Compare] does, but none of
// what a build does. It does at most the given work, see [Compare], and returns what is left.
// searched is false if some samples were left out.
func (b Base) Find(p *policy.Policy, work int, met func(before, after policy.Decision) bool) (
	found, searched bool, left int,
) {
	searched = true
	left = eachClient(b.side, newSide(p), b.at, work, func(c *comparison, _ clients.Client) bool {
		c.until = met
		c.search()
		found = c.ended
		searched = searched && c.complete && len(c.uncompared) == 0
		return !found && searched
	})
	return found, searched, left
}

// FindResult looks for an export or the use of a build cache that only one of two policies allows.
// It does at most the given work; see [Compare]. searched is false if some samples were left out.
func FindResult(a, b *policy.Policy, work int) (found, searched bool) {
	searched = true
	eachClient(newSide(a), newSide(b), time.Time{}, work, func(c *comparison, _ clients.Client) bool {
		for _, s := range c.grantStatements() {
			found = found || len(s.Examples) > 0
		}
		searched = searched && c.exampled && len(c.uncompared) == 0
		return !found && searched
	})
	return found, searched
}
