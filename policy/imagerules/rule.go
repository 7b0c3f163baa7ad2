package imagerules

import (
	"iter"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Action is what a rule does.
type Action string

// The actions.
const (
	ActionAllow Action = "allow"
	ActionDeny  Action = "deny"
)

// Mode says what a denial does.
type Mode string

// The modes.
const (
	// ModeEnforce refuses the build.
	ModeEnforce Mode = "enforce"
	// ModeWarn warns about a denial, and the build goes on.
	ModeWarn Mode = "warn"
)

// Rule allows or denies images, those of frontends or those that a build reads. All conditions
// that it has must hold for it to match. [Rule.Compile] must check and compile it before it is
// used. After that it doesn't change, and several goroutines may use it at the same time.
type Rule struct {
	// Name of the rule in messages. It must be unique, and can't be one of the reserved names default,
	// limits, build and invariant.
	Name string `yaml:"name,omitempty" json:"name,omitempty" jsonschema:"minLength=1,maxLength=256"`
	// Names that the rule is for, without tag or digest. A * stands for any characters within one path
	// component or one label of the host, ** for any number of them. Without a host, a name is one on
	// docker.io. A deny rule matches all that a name can mean, at every port.
	Match []string `yaml:"match" json:"match" jsonschema:"minItems=1"`
	// Tags that the rule is for; a * stands for any characters. A reference without a tag has the tag
	// latest, unless it has a digest. A deny rule is for other spellings of these tags too, and for a
	// partial version that can be one of them.
	Tags []string `yaml:"tags,omitempty" json:"tags,omitempty" jsonschema:"minItems=1"`
	// Versions that the rule is for, in addition to its tags, such as ">=1.4 <2 || 3.1.x". All
	// versions that a partial version such as 1.7 stands for must be in the range. There is no !=; use
	// exceptTags. A deny rule is also for tags that can't be compared with versions. Of what a bound
	// such as <=1.7 can mean, an allow rule takes the least (up to 1.7.0), and a deny rule the most.
	Versions string `yaml:"versions,omitempty" json:"versions,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// Suffixes such as labs for 1.7-labs. The suffix is removed from a tag before the tag is compared
	// with versions.
	Variants []string `yaml:"variants,omitempty" json:"variants,omitempty" jsonschema:"minItems=1"`
	// Tags that the rule is not for, even if its tags or versions match them; a * stands for any
	// characters. In an allow rule, this also excludes other spellings of these tags.
	ExceptTags []string `yaml:"exceptTags,omitempty" json:"exceptTags,omitempty" jsonschema:"minItems=1"`
	// Digests of the images that the rule is for.
	Digests []string `yaml:"digests,omitempty" json:"digests,omitempty" jsonschema:"minItems=1"`
	// Whether a build must request the image with its digest. Not allowed in a deny rule.
	RequireDigest bool `yaml:"requireDigest,omitempty" json:"requireDigest,omitempty" jsonschema:"default=false"`
	// Clients that the rule is for, in the form of administration.clients. An allow rule is for those
	// that surely are among them. A deny rule is for all but those that surely aren't. Only
	// policy-guard knows its clients, so the gateway image alone refuses every build under such a
	// rule. The default is all clients.
	Clients []string `yaml:"clients,omitempty" json:"clients,omitempty" jsonschema:"minItems=1"`
	// What the rule does. The default is allow.
	Action Action `yaml:"action,omitempty" json:"action,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
	// What a denial by this rule does. In a rule of frontends, the default is the policy's mode. With
	// warn, an option that the rule refuses only causes a warning. In a rule of images, only a deny
	// rule can have a mode, and only warn.
	Mode Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn"`
	// When builds that the rule allows begin to get a warning. A day such as 2027-01-31, which begins
	// at 00:00 UTC, or a time such as 2027-01-31T12:00:00Z. Not allowed in a deny rule.
	WarnAfter string `yaml:"warnAfter,omitempty" json:"warnAfter,omitempty" jsonschema:"minLength=1"`
	// When the rule stops matching, in the form of warnAfter.
	Expires string `yaml:"expires,omitempty" json:"expires,omitempty" jsonschema:"minLength=1"`
	// Whom the user of a build can ask about this rule, instead of the policy's contact.
	Contact string `yaml:"contact,omitempty" json:"contact,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// A message to the user of a build that the rule decides.
	Message string `yaml:"message,omitempty" json:"message,omitempty" jsonschema:"minLength=1,maxLength=2048"`

	file               string
	line, column       int
	unnamed            bool
	patterns           []imageref.Pattern
	clients            clients.List
	versions           *versions.Range
	warnAfter, expires time.Time
}

// File returns the name of the document that the rule is written in: the one given
// to Parse or Load, or the path of an included file.
func (r *Rule) File() string { return r.file }

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

// WarnTime returns the time from which the rule warns; the zero time if it never
// does.
func (r *Rule) WarnTime() time.Time { return r.warnAfter }

// ExpiryTime returns the time from which the rule no longer matches; the zero time
// if it always does.
func (r *Rule) ExpiryTime() time.Time { return r.expires }

// TagConditional reports whether the rule depends on the tag.
func (r *Rule) TagConditional() bool {
	return len(r.Tags) > 0 || r.Versions != "" || len(r.ExceptTags) > 0
}

// For returns the compiled patterns of the clients that the rule is for. Callers don't change them.
func (r *Rule) For() clients.List { return r.clients }

// Admits reports whether the rule can match what the client asks for, apart from its other
// conditions. An allow rule admits a client that surely is one of its own, and a deny rule each one
// that can be.
func (r *Rule) Admits(c clients.Client) bool {
	if r.Action == ActionDeny {
		return r.clients.MayHave(c)
	}
	return r.clients.Has(c)
}

// Names returns the compiled patterns of the names that the rule is for. Callers don't change
// them.
func (r *Rule) Names() []imageref.Pattern { return r.patterns }

// NewIndex returns an index that finds the rules which can cover a name, by their numbers.
func NewIndex(rules iter.Seq2[int, *Rule]) globs.Index {
	return globs.NewIndex(func(yield func(int, string) bool) {
		for i, r := range rules {
			for _, p := range r.patterns {
				if !yield(i, p.String()) {
					return
				}
			}
		}
	})
}

// Covers reports whether the rule is for all names that the pattern matches.
func (r *Rule) Covers(name imageref.Pattern) bool {
	return slices.ContainsFunc(r.patterns, func(p imageref.Pattern) bool { return p.Covers(name) })
}
