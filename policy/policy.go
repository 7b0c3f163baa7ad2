package policy

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

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

// Mode says what a denial does.
type Mode string

// The modes.
const (
	// ModeEnforce refuses the build.
	ModeEnforce Mode = "enforce"
	// ModeWarn lets the build go on and warns of what would have been refused.
	ModeWarn Mode = "warn"
)

// Version is the version of the policy language that this package reads.
const Version = 1

// The names of rules under which a decision reports what no rule decided. No
// rule can have them; see also InvariantRule and BuildRule.
const (
	// DefaultRule: no rule matched.
	DefaultRule = "default"
	// LimitsRule: the policy's limits refuse the name.
	LimitsRule = "limits"
)

// Policy is a parsed policy with the files that it includes. [Parse], [Load] and
// [ParseOverlay] make one, and nothing changes it afterwards.
type Policy struct {
	doc    Document
	digest digest.Digest
	index  globs.Index
	allows []candidate
}

// Document returns a copy of the fields of the policy, with its defaults filled in. Aliases
// and rules of included files follow the policy's own.
func (p *Policy) Document() Document { return clone(p.doc) }

// WithMode returns the policy with another mode. The mode replaces those of the rules too.
// The digest stays that of the document.
func (p *Policy) WithMode(m Mode) *Policy {
	q := *p
	q.doc.Mode = m
	q.doc.Frontends = slices.Clone(p.doc.Frontends)
	for i := range q.doc.Frontends {
		q.doc.Frontends[i].Mode = ""
	}
	q.allows = q.newCandidates()
	return &q
}

// Document has the fields of a policy document. The comments on the fields are what an
// editor shows to the authors of policies; [Schema] has them as descriptions.
type Document struct {
	// Version of the policy language; 1.
	Version int `yaml:"version" jsonschema:"enum=1"`
	// ID of the policy, shown in messages.
	ID string `yaml:"id,omitempty" jsonschema:"minLength=1,maxLength=256"`
	// What a denial does: enforce refuses the build; warn lets it go on with a warning, except for what the limits refuse. Enforce if left out.
	Mode Mode `yaml:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`
	// What happens to a frontend that no rule matches; deny if left out.
	Default Action `yaml:"default,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
	// Whom a refused person can ask: a name, a channel, an address.
	Contact string `yaml:"contact,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// The frontend to run when a build names none, such as docker/dockerfile:1. The rules apply to it as to any other.
	DefaultFrontend string `yaml:"defaultFrontend,omitempty" jsonschema:"minLength=1,maxLength=1024"`
	// Further files whose aliases and rules follow those of this one, relative to its folder and without .. in their paths. Not allowed in a policy that a client sends.
	Include []string `yaml:"include,omitempty" jsonschema:"minItems=1,maxItems=32"`
	// What other names stand for, such as that of a mirror. The first alias that matches a reference rewrites it, once, before the rules judge it.
	Aliases []Alias `yaml:"aliases,omitempty"`
	// The rules. A deny rule that matches wins, wherever it stands; otherwise the first allow rule that matches decides.
	Frontends []Rule `yaml:"frontends,omitempty"`
	// How frontends run whose rule doesn't say it: forward has BuildKit run the frontend, mediate runs it in a container of ours and judges each of its calls, builtin runs our own Dockerfile frontend and does so too. Forward if left out.
	Dispatch Dispatch `yaml:"dispatch,omitempty" jsonschema:"enum=forward,enum=mediate,enum=builtin,default=forward"`
	// Rules on what frontends build, for each kind that their rule's own build doesn't have.
	Build *buildrules.Rules `yaml:"build,omitempty"`
	// What may run at most, whatever the rules, the default and the mode say.
	Limits Limits `yaml:"limits,omitempty"`
	// Which policies clients may put on top of this one. Not allowed in such a policy itself.
	Overlay Overlay `yaml:"overlay,omitempty"`
}

// Alias makes one name stand for another. The tag and the digest of a reference
// are kept.
type Alias struct {
	// The name to replace: a repository without tag or digest, or all below a folder with /** at the end. Without a host, a name is one on docker.io.
	From string `yaml:"from" jsonschema:"minLength=1,maxLength=512"`
	// The name to put in its place; it ends in /** if from does, which stands for the same rest. It may be the same as from, for the pins alone.
	To string `yaml:"to" jsonschema:"minLength=1,maxLength=512"`
	// The digest that each tag has, so that no registry is asked what it points to. Only where from is one repository.
	Pins map[string]string `yaml:"pins,omitempty" jsonschema:"minProperties=1"`

	file         string
	line, column int
	from, to     imageref.Pattern
}

// Limits bound what rules can allow.
type Limits struct {
	// Names that may run, in the form of a rule's match. They judge the name after all aliases.
	Match []string `yaml:"match,omitempty" jsonschema:"minItems=1"`
	// How long a frontend that is mediated or built in may take with all that it waits for, such as 30m or 2h; 1h if left out.
	Timeout string `yaml:"timeout,omitempty" jsonschema:"minLength=2"`
	// How deep such frontends can run other frontends; 4 if left out.
	Nesting int `yaml:"nesting,omitempty" jsonschema:"minimum=1,maximum=16"`

	patterns []imageref.Pattern
	timeout  time.Duration
}

// Options are conditions on the frontend options of a build and what is done to
// them before the frontend gets them. Options that carry the build itself are
// exempt: source, cmdline, frontend.caps, build-arg:BUILDKIT_SYNTAX and
// local-sessionid:*.
type Options struct {
	// Options that a build can't have; a * stands for any characters.
	Deny []string `yaml:"deny,omitempty" jsonschema:"minItems=1"`
	// Options that are removed before the frontend gets them; a * stands for any characters.
	Strip []string `yaml:"strip,omitempty" jsonschema:"minItems=1"`
	// Options that the frontend gets with these values; a build that sets another value is refused.
	Force map[string]string `yaml:"force,omitempty" jsonschema:"minProperties=1"`
	// The only options that a build can have; a * stands for any characters.
	Only []string `yaml:"only,omitempty" jsonschema:"minItems=1"`
	// Whether a build can hand the frontend inputs, as a bake target does that builds on another; allow if left out.
	Inputs Action `yaml:"inputs,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
}

// Rule allows or denies frontends. All conditions that it has must hold for it
// to match.
type Rule struct {
	// Name of the rule in messages; unique, and not default, limits, build or invariant.
	Name string `yaml:"name,omitempty" jsonschema:"minLength=1,maxLength=256"`
	// Names that the rule is for, without tag or digest. A * stands for any characters within one path component, ** for any number of components. Without a host, a name is one on docker.io.
	Match []string `yaml:"match" jsonschema:"minItems=1"`
	// Tags that the rule is for; a * stands for any characters. A reference without a tag has the tag latest, unless it has a digest.
	Tags []string `yaml:"tags,omitempty" jsonschema:"minItems=1"`
	// Versions that the rule is for, such as ">=1.4 <2 || 3.1.x", besides its tags. A tag that is part of a version, such as 1.7, must lie wholly inside. Versions that one alternative leaves out with != belong in exceptTags.
	Versions string `yaml:"versions,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// Suffixes of tags, such as labs for 1.7-labs, that are left out before a tag is compared with versions.
	Variants []string `yaml:"variants,omitempty" jsonschema:"minItems=1"`
	// Tags that the rule is not for, even if its tags or versions have them; a * stands for any characters.
	ExceptTags []string `yaml:"exceptTags,omitempty" jsonschema:"minItems=1"`
	// Digests that the rule is for, compared with that of the image that would run.
	Digests []string `yaml:"digests,omitempty" jsonschema:"minItems=1"`
	// Whether the reference itself must carry a digest. Not allowed in a deny rule.
	RequireDigest bool `yaml:"requireDigest,omitempty" jsonschema:"default=false"`
	// What the rule does; allow if left out.
	Action Action `yaml:"action,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
	// What a denial by this rule does; the policy's mode if left out. With warn, what the rule's options refuse is a warning too.
	Mode Mode `yaml:"mode,omitempty" jsonschema:"enum=enforce,enum=warn"`
	// Conditions on the options of a build. Not allowed in a deny rule.
	Options Options `yaml:"options,omitempty"`
	// How the frontend runs; the policy's dispatch if left out. Not allowed in a deny rule.
	Dispatch Dispatch `yaml:"dispatch,omitempty" jsonschema:"enum=forward,enum=mediate,enum=builtin"`
	// Rules on what the frontend builds. Not allowed in a deny rule.
	Build *buildrules.Rules `yaml:"build,omitempty"`
	// The time from which builds that the rule allows are warned: a day such as 2027-01-31, which begins at 00:00 UTC, or a time as in 2027-01-31T12:00:00Z. Not allowed in a deny rule.
	WarnAfter string `yaml:"warnAfter,omitempty" jsonschema:"minLength=1"`
	// The time from which the rule no longer matches, as for warnAfter.
	Expires string `yaml:"expires,omitempty" jsonschema:"minLength=1"`
	// Whom a person can ask about this rule, instead of the policy's contact.
	Contact string `yaml:"contact,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// What to tell the person whose build the rule decides.
	Message string `yaml:"message,omitempty" jsonschema:"minLength=1,maxLength=2048"`

	file               string
	line, column       int
	unnamed            bool
	patterns           []imageref.Pattern
	versions           *versionRange
	warnAfter, expires time.Time
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
	// Digest is Policy.Digest.
	Digest digest.Digest `json:"digest"`
}

// Digest returns the sha256 digest of the document's bytes as they were parsed,
// or "" for a policy that Parse or Load didn't make. With included files, it is
// the digest of the text that sha256sum prints for the policy and all of them, in
// the order in which their rules follow each other, so that
//
//	sha256sum policy.yaml team.yaml | sha256sum
//
// in the policy's folder shows it.
func (p *Policy) Digest() digest.Digest { return p.digest }

// Identity returns the policy's id and digest.
func (p *Policy) Identity() Identity { return Identity{ID: p.doc.ID, Digest: p.digest} }

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

// File returns the name of the document that the alias is written in.
func (a *Alias) File() string { return a.file }

// Line returns the line of the document on which the alias begins, counted from 1.
func (a *Alias) Line() int { return a.line }

// Column returns the column at which the alias begins, in characters from 1.
func (a *Alias) Column() int { return a.column }

// Names returns the alias's two names in the form in which they are compared, see
// Rule.Patterns.
func (a *Alias) Names() (from, to string) { return a.from.String(), a.to.String() }

// Patterns returns the limits' patterns in the form in which they are compared;
// none if the policy has no limits.
func (l *Limits) Patterns() []string {
	out := make([]string, len(l.patterns))
	for i, p := range l.patterns {
		out[i] = p.String()
	}
	return out
}
