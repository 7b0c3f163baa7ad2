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
// otherwise is refused by Stack. The comments on its fields are what an editor
// shows to those who write policies.
type Policy struct {
	// Version of the policy language; 1.
	Version int `yaml:"version" jsonschema:"enum=1"`
	// ID of the policy, shown in messages.
	ID string `yaml:"id,omitempty" jsonschema:"minLength=1,maxLength=256"`
	// What happens to a frontend that no rule matches; deny if left out.
	Default Action `yaml:"default,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
	// Whom a refused person can ask: a name, a channel, an address.
	Contact string `yaml:"contact,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// The frontend to run when a build names none, such as docker/dockerfile:1. The rules apply to it as to any other.
	DefaultFrontend string `yaml:"defaultFrontend,omitempty" jsonschema:"minLength=1,maxLength=1024"`
	// The rules. A deny rule that matches wins, wherever it stands; otherwise the first allow rule that matches decides.
	Frontends []Rule `yaml:"frontends,omitempty"`
	// Which policies clients may put on top of this one. Not allowed in such a policy itself.
	Overlay Overlay `yaml:"overlay,omitempty"`

	digest digest.Digest
}

// Rule allows or denies frontends. All conditions that it has must hold for it
// to match.
type Rule struct {
	// Name of the rule in messages; unique, and neither default nor builtin.
	Name string `yaml:"name,omitempty" jsonschema:"minLength=1,maxLength=256"`
	// Names that the rule is for, without tag or digest. A * stands for any characters within one path component, ** for any number of components. Without a host, a name is one on docker.io.
	Match []string `yaml:"match" jsonschema:"minItems=1"`
	// Tags that the rule is for; a * stands for any characters. A reference without a tag has the tag latest, unless it has a digest.
	Tags []string `yaml:"tags,omitempty" jsonschema:"minItems=1"`
	// Digests that the rule is for, compared with that of the image that would run.
	Digests []string `yaml:"digests,omitempty" jsonschema:"minItems=1"`
	// Whether the reference itself must carry a digest. Not allowed in a deny rule.
	RequireDigest bool `yaml:"requireDigest,omitempty" jsonschema:"default=false"`
	// What the rule does; allow if left out.
	Action Action `yaml:"action,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
	// What to tell the person whose build the rule decides.
	Message string `yaml:"message,omitempty" jsonschema:"minLength=1,maxLength=2048"`

	line, column int
	unnamed      bool
	patterns     []pattern
}

// Overlay says how a policy treats a policy document that a client sends.
type Overlay struct {
	// Whether clients may send one: none refuses builds that do; narrow takes it, and it can only tighten. Narrow if left out.
	Accept Accept `yaml:"accept,omitempty" jsonschema:"enum=none,enum=narrow,default=narrow"`
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
