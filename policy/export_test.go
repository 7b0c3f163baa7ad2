package policy

import (
	"time"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// DigestOf is [Layers.RulesDigest] for a document that needn't be valid.
func DigestOf(doc Document, c clients.Client, now time.Time) string {
	l := Layers{embedded: &Policy{doc: doc}, client: c}
	return l.RulesDigest(Decision{}, now).String()
}
