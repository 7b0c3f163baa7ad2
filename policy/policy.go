package policy

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Action is what a rule, or a policy without a matching rule, does.
type Action = imagerules.Action

// The actions.
const (
	ActionAllow = imagerules.ActionAllow
	ActionDeny  = imagerules.ActionDeny
)

// Accept says which overlays a policy accepts from clients.
type Accept string

// The kinds of overlays that a policy can accept.
const (
	// AcceptNone refuses every build that sends an overlay.
	AcceptNone Accept = "none"
	// AcceptNarrow accepts any overlay. An overlay can only tighten.
	AcceptNarrow Accept = "narrow"
)

// Mode says what a denial does.
type Mode = imagerules.Mode

// The modes.
const (
	// ModeEnforce refuses the build.
	ModeEnforce = imagerules.ModeEnforce
	// ModeWarn warns about a denial, and the build goes on.
	ModeWarn = imagerules.ModeWarn
)

// Version is the version of the policy language that this package reads.
const Version = 1

// The rules that a decision names if no rule of a policy decided. No rule of a policy can
// have these names, [InvariantRule], [BuildRule], [LLBRule], [DebugRule], [ExportsRule],
// [CachesRule], [SBOMRule] or [AdministrationRule].
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
	// renames has the names that the aliases replace.
	renames globs.Index
	// pins are those of the aliases, by the names as they are; usualPins by those on usual hosts.
	pins, usualPins aliasPins
	allows          []candidate
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
	// What a denial does. With enforce, the build is refused; with warn, it goes on with a warning.
	// The limits always refuse. The default is enforce.
	Mode Mode `yaml:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`
	// What happens to a frontend that no rule matches. The default is deny.
	Default Action `yaml:"default,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
	// Whom the user of a refused build can ask, such as a name, a channel or an address.
	Contact string `yaml:"contact,omitempty" jsonschema:"minLength=1,maxLength=512"`
	// The frontend of builds that name none, such as docker/dockerfile:1. The rules apply to it as to
	// any other frontend.
	DefaultFrontend string `yaml:"defaultFrontend,omitempty" jsonschema:"minLength=1,maxLength=1024"`
	// More files whose aliases and rules follow those of this file. Paths are relative to its
	// directory and can't contain "..". Not allowed in a policy that a client sends.
	Include []string `yaml:"include,omitempty" jsonschema:"minItems=1,maxItems=32"`
	// Names that are replaced, for example with those of a mirror. The first alias that matches a
	// reference rewrites it, once, before the rules see it.
	Aliases []Alias `yaml:"aliases,omitempty"`
	// The rules. A deny rule that matches wins, wherever it is. Otherwise the first allow rule that
	// matches decides.
	Frontends []Rule `yaml:"frontends,omitempty"`
	// How a frontend runs if its rule has no dispatch. With forward, BuildKit runs it. With mediate,
	// policy-frontend runs it in a container and checks each of its calls. With builtin,
	// policy-frontend runs its own Dockerfile frontend and checks each of its calls. The default is
	// mediate for frontends with build rules, and forward for others.
	Dispatch Dispatch `yaml:"dispatch,omitempty" jsonschema:"enum=forward,enum=mediate,enum=builtin"`
	// Build rules for all frontends. A rule's own build applies in addition; its allow replaces that
	// of the same kind here.
	Build *buildrules.Rules `yaml:"build,omitempty"`
	// Whether clients of policy-guard can send LLB that no frontend made, such as buildctl build with
	// LLB on its standard input. The build rules of the whole policy apply to it. No mode weakens
	// deny. The default is deny.
	LLB *Permission `yaml:"llb,omitempty"`
	// Whether clients of policy-guard can run containers of their own in a build, on its results, as
	// buildx debug does. The rules on commands (build.exec) apply to them. No mode weakens deny. The
	// default is deny.
	Debug *Permission `yaml:"debug,omitempty"`
	// Limits that hold whatever the rules, the default and the mode say.
	Limits Limits `yaml:"limits,omitempty"`
	// Where the results of builds can go. Only policy-guard sees that, and applies this. The default
	// is to the client only.
	Exports *Exports `yaml:"exports,omitempty"`
	// Which build caches can be imported and exported. Only policy-guard sees them, and applies this.
	// The default is none, apart from a cache in the result itself (type=inline).
	Caches *Caches `yaml:"caches,omitempty"`
	// Which images can make SBOMs (--sbom). Only policy-guard applies this. The default is none.
	SBOM *SBOM `yaml:"sbom,omitempty"`
	// Which builds have summaries of how the policy decided. image: policy-frontend adds one to each
	// image, as an attestation that nobody has signed; true means the same. warned: builds that the
	// policy warns about have summaries too, which say so; this also holds for those that policy-guard
	// signs. The default is neither. Not allowed in a policy that a client sends.
	Attest buildrules.List `yaml:"attest,omitempty" boolean:"image" jsonschema:"enum=image,enum=warned"`
	// Which clients administrate the builder. Only policy-guard knows its clients, and applies this.
	// No mode weakens it. The default is nobody.
	Administration *Administration `yaml:"administration,omitempty"`
	// Which policies clients can put on top of this one. Not allowed in a policy that a client sends.
	Overlay Overlay `yaml:"overlay,omitempty"`
}

// Alias makes one name stand for another. The tag and the digest of a reference
// are kept.
type Alias struct {
	// The name to replace, without tag or digest: a repository, or with /** at the end all
	// repositories below a directory. A name without a host is on docker.io.
	From string `yaml:"from" jsonschema:"minLength=1,maxLength=512"`
	// The new name. It ends in /** if from does, and the rest of the name is kept. It can be the same
	// as from if only the pins matter.
	To string `yaml:"to" jsonschema:"minLength=1,maxLength=512"`
	// The digest of each tag, for both from and to. A frontend with this tag runs by this digest, the
	// registry isn't asked for the tag, and a build can't request another digest with it. The command
	// lock updates these pins. Only allowed if from is one repository.
	Pins map[string]string `yaml:"pins,omitempty" jsonschema:"minProperties=1"`

	file         string
	line, column int
	from, to     imageref.Pattern
}

// Limits bound what rules can allow.
type Limits struct {
	// Names that can run, in the form of an allow rule's match. They apply to the name after all
	// aliases.
	Match []string `yaml:"match,omitempty" jsonschema:"minItems=1"`
	// How long a frontend can take, including all that it waits for, such as 30m or 2h. Applies to
	// mediate and builtin; with forward, only until the frontend starts. The default is 1h.
	Timeout string `yaml:"timeout,omitempty" jsonschema:"minLength=2"`
	// How deep frontends can be nested. Applies to mediate and builtin. The default is 4.
	Nesting int `yaml:"nesting,omitempty" jsonschema:"minimum=1,maximum=16"`

	// How much memory policy-frontend can take for a build, such as 256MiB or 1GiB. Applies to mediate
	// and builtin. The default is 512MiB.
	Memory string `yaml:"memory,omitempty" jsonschema:"minLength=4"`

	patterns []imageref.Pattern
	timeout  time.Duration
	memory   int64 // in bytes
}

// Options are conditions on the frontend options of a build, and changes to them before the
// frontend gets them. Options that carry the build itself are exempt: source, cmdline,
// frontend.caps, build-arg:BUILDKIT_SYNTAX and local-sessionid:*.
type Options struct {
	// Options that a build can't have; a * stands for any characters.
	Deny []string `yaml:"deny,omitempty" jsonschema:"minItems=1"`
	// Options that are removed before the frontend gets them; a * stands for any characters.
	Strip []string `yaml:"strip,omitempty" jsonschema:"minItems=1"`
	// Options that the frontend gets with these values; a build that sets another value is refused.
	Force map[string]string `yaml:"force,omitempty" jsonschema:"minProperties=1"`
	// The only options that a build can have; a * stands for any characters.
	Only []string `yaml:"only,omitempty" jsonschema:"minItems=1"`
	// Whether a build can pass results of other builds to the frontend, as a bake target that
	// builds on another target does. The default is allow.
	Inputs Action `yaml:"inputs,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
}

// Rule allows or denies frontends. All conditions that it has must hold for it
// to match.
type Rule struct {
	imagerules.Rule `yaml:",inline"`

	// Platforms that a build may be for, such as linux/amd64, in the option platform. A build without
	// that option is refused, because it is for the builder's own platform, which isn't known. Not
	// allowed in a deny rule.
	Platforms []string `yaml:"platforms,omitempty" jsonschema:"minItems=1"`
	// Conditions on the options of a build. Not allowed in a deny rule.
	Options Options `yaml:"options,omitempty"`
	// How the frontend runs. The default is the policy's dispatch. If that isn't written either, it is
	// mediate for a frontend with build rules, and forward for others. Not allowed in a deny rule.
	Dispatch Dispatch `yaml:"dispatch,omitempty" jsonschema:"enum=forward,enum=mediate,enum=builtin"`
	// Build rules for the frontend. Not allowed in a deny rule.
	Build *buildrules.Rules `yaml:"build,omitempty"`

	platforms []string // normalised
}

// Overlay says how a policy treats a policy document that a client sends.
type Overlay struct {
	// Whether clients can send a policy. With none, such builds are refused; with narrow, the client's
	// policy can only tighten this one. The default is narrow.
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
// in the policy's directory shows it.
func (p *Policy) Digest() digest.Digest { return p.digest }

// Identity returns the policy's id and digest.
func (p *Policy) Identity() Identity { return Identity{ID: p.doc.ID, Digest: p.digest} }

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
