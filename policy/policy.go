package policy

import "github.com/opencontainers/go-digest"

// Action is what a rule, or a policy without a matching rule, does.
type Action string

// The actions.
const (
	ActionAllow Action = "allow"
	ActionDeny  Action = "deny"
)

// Accept says which overlays a policy takes from clients.
type Accept string

// The kinds of overlays that a policy can accept.
const (
	// AcceptNone refuses every build that sends an overlay.
	AcceptNone Accept = "none"
	// AcceptNarrow takes any overlay; it can only tighten.
	AcceptNarrow Accept = "narrow"
)

// Version is the version of the policy language that this package reads.
const Version = 1

// DefaultRule is the name under which a decision reports that no rule matched.
// No rule can have it.
const DefaultRule = "default"

// Policy is one parsed policy document. Use Parse to make one; a Policy made
// otherwise is refused by Stack.
type Policy struct {
	Version         int     `yaml:"version"`
	ID              string  `yaml:"id,omitempty"`
	Default         Action  `yaml:"default,omitempty"`
	Contact         string  `yaml:"contact,omitempty"`
	DefaultFrontend string  `yaml:"defaultFrontend,omitempty"`
	Frontends       []Rule  `yaml:"frontends,omitempty"`
	Overlay         Overlay `yaml:"overlay,omitempty"`

	digest digest.Digest
}

// Rule allows or denies frontends. All conditions that it has must hold for it
// to match.
type Rule struct {
	Name          string   `yaml:"name,omitempty"`
	Match         []string `yaml:"match"`
	Tags          []string `yaml:"tags,omitempty"`
	Digests       []string `yaml:"digests,omitempty"`
	RequireDigest bool     `yaml:"requireDigest,omitempty"`
	Action        Action   `yaml:"action,omitempty"`
	Message       string   `yaml:"message,omitempty"`

	line, column int
	unnamed      bool
	patterns     []pattern
}

// Overlay says how a policy treats a policy document that a client sends.
type Overlay struct {
	Accept Accept `yaml:"accept,omitempty"`
}

// Identity tells one policy document from another.
type Identity struct {
	// ID is the document's id; empty if it has none.
	ID string `json:"id"`
	// Digest is the sha256 digest of the document's bytes.
	Digest digest.Digest `json:"digest"`
}

// Digest returns the sha256 digest of the document's bytes as they were parsed,
// or "" for a policy that Parse didn't make.
func (p *Policy) Digest() digest.Digest { return p.digest }

// Identity returns the policy's id and digest.
func (p *Policy) Identity() Identity { return Identity{ID: p.ID, Digest: p.digest} }

// Line returns the line of the document on which the rule begins, counted from 1.
func (r *Rule) Line() int { return r.line }

// Column returns the column at which the rule begins, in characters from 1.
func (r *Rule) Column() int { return r.column }

// Unnamed reports whether the document gives the rule no name, so that Name is
// the rule's place, such as "frontends[2]".
func (r *Rule) Unnamed() bool { return r.unnamed }

// Patterns returns the rule's match patterns in the form in which they are
// compared: with host, and with the library folder of docker.io written out.
func (r *Rule) Patterns() []string {
	out := make([]string, len(r.patterns))
	for i, p := range r.patterns {
		out[i] = p.String()
	}
	return out
}
