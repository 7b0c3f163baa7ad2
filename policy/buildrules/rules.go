package buildrules

import (
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Action says whether rules allow something as a whole.
type Action string

// The actions.
const (
	ActionAllow Action = "allow"
	ActionDeny  Action = "deny"
)

// List is a list of names or patterns in which nil differs from empty: a list that a document
// doesn't have restricts nothing, and an empty one allows nothing.
type List []string

// IsZero reports whether the document doesn't have the list.
func (l List) IsZero() bool { return l == nil }

// Rules are rules on what a frontend builds. A kind without rules is not restricted. Where there
// are rules for a kind, they allow only what they list, and what they deny is denied whatever
// else they list.
//
// A document decodes into Rules; [Rules.Validate] must check and compile them before they are
// used. After that they don't change, and several goroutines may use them at the same time.
type Rules struct {
	// Images that can be built on or copied from.
	Images *ImageRules `yaml:"images,omitempty" json:"images,omitempty"`
	// Git repositories that can be read. BuildKit reads their submodules too, and rules can't see
	// those.
	Git *GitRules `yaml:"git,omitempty" json:"git,omitempty"`
	// Files that can be downloaded by http or https. Rules can't see the targets of redirects.
	HTTP *HTTPRules `yaml:"http,omitempty" json:"http,omitempty"`
	// Directories of the client that can be read.
	Local *NameRules `yaml:"local,omitempty" json:"local,omitempty"`
	// Images in an OCI layout of the client that can be read.
	OCILayout *PatternRules `yaml:"ociLayout,omitempty" json:"ociLayout,omitempty"`
	// Blobs of registries that can be read, by the name of their repository.
	Blob *PatternRules `yaml:"blob,omitempty" json:"blob,omitempty"`
	// What commands can use while they run.
	Exec *ExecRules `yaml:"exec,omitempty" json:"exec,omitempty"`
	// Other frontends that the frontend can run. Needs a dispatch other than forward.
	Frontends *PatternRules `yaml:"frontends,omitempty" json:"frontends,omitempty"`
	// Whether the frontend can start containers of its own, besides the steps of the build. The
	// default is deny. With dispatch forward, rules can't see them.
	Containers Action `yaml:"containers,omitempty" json:"containers,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
	// Conditions on the configuration of the built image.
	Config *ConfigRules `yaml:"config,omitempty" json:"config,omitempty"`
	// What happens to sources of a kind without rules. The kinds are images, git, http, local,
	// ociLayout and blob. With deny, such sources are refused, except the build's own context and
	// dockerfile. The default is allow.
	Others Action `yaml:"others,omitempty" json:"others,omitempty" jsonschema:"enum=allow,enum=deny,default=allow"`
}

// ImageRules are rules on base images and other images that a build reads.
//
// An allow is the same as a rule that allows these names, after all others. A deny is the same as
// a rule that denies these names.
type ImageRules struct {
	// Rules on images, with the conditions of those on frontends. A deny rule that matches wins.
	// Otherwise the first allow rule that matches decides. If there is an allow rule, an image that
	// none allows is refused. The list can stand alone, in place of the fields.
	Rules []*imagerules.Rule `yaml:"rules,omitempty" json:"rules,omitempty" jsonschema:"minItems=1" sequence:"true"`
	// Names that can be used, in the form of an allow rule's match. An empty list allows none. The
	// default is any name.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// Names that can't be used, in the form of a deny rule's match.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether an image must be requested with its digest. A pin counts as one.
	RequireDigest bool `yaml:"requireDigest,omitempty" json:"requireDigest,omitempty" jsonschema:"default=false"`
	// The digest of each name:tag, where the name is the one after convert. An image with this tag is
	// read by this digest, and a build can't request another digest with the tag.
	Pins map[string]string `yaml:"pins,omitempty" json:"pins,omitempty" jsonschema:"minProperties=1"`
	// Names that are replaced, for example with those of a mirror. The first entry that matches
	// replaces a name, once, before all other rules see it.
	Convert []Conversion `yaml:"convert,omitempty" json:"convert,omitempty"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: nothing of the kind is
	// allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	allow, deny []imageref.Pattern
	pins        map[string]pin // by normalised name:tag
	lists       []ruleList     // those that Rules is made of, in order
}

// Conversion replaces one image name, and the names below it, with another.
type Conversion struct {
	// The name to replace, without tag or digest: a repository, or a directory such as
	// docker.io/library. The rest of a name below a directory is kept. With /** at the end, only names
	// below the directory match.
	From string `yaml:"from" json:"from" jsonschema:"minLength=1,maxLength=512"`
	// The new name. It ends in /** if from does.
	To string `yaml:"to" json:"to" jsonschema:"minLength=1,maxLength=512"`

	from, to imageref.Pattern
	// with a slash at the end; "" if from is only for what is below it
	fromDirectory, toDirectory string
}

// GitRules are rules on git repositories.
type GitRules struct {
	// URLs that can be read, such as https://git.corp.example/**. Without a path, a pattern is for
	// the whole host; without a scheme, for https and ssh. An empty list allows none. The default is
	// any URL.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// URLs that can't be read. A pattern is for each port, and for everything below its path;
	// without a scheme, for each scheme.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether a build must request a commit by its full hash, not by a branch or a tag.
	RequireCommit bool `yaml:"requireCommit,omitempty" json:"requireCommit,omitempty" jsonschema:"default=false"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: nothing of the kind is
	// allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	urls urlRules
}

// HTTPRules are rules on downloads.
type HTTPRules struct {
	// URLs that can be read, such as https://files.corp.example/**. Without a path, a pattern is for
	// the whole host; without a scheme, for https. An empty list allows none. The default is any URL.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// URLs that can't be read. A pattern is for each port, and for everything below its path;
	// without a scheme, for each scheme.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether a build must give the checksum of the download.
	RequireChecksum bool `yaml:"requireChecksum,omitempty" json:"requireChecksum,omitempty" jsonschema:"default=false"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: nothing of the kind is
	// allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	urls urlRules
}

// NameRules are rules on plain names.
type NameRules struct {
	// Names that can be used; a * stands for any characters. An empty list allows none. The default
	// is any name.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// Names that can't be used; a * stands for any characters.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: nothing of the kind is
	// allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`
}

// PatternRules are rules on names of repositories.
type PatternRules struct {
	// Names that can be used, in the form of an allow rule's match. An empty list allows none. The
	// default is any name.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// Names that can't be used, in the form of a deny rule's match.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: nothing of the kind is
	// allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	allow, deny []imageref.Pattern
}

// ExecRules are rules on commands. They allow only what they list, and by default the networks
// none and default. Rules that only deny allow everything else. Downloads are a kind of their own,
// which says nothing of what else commands use.
type ExecRules struct {
	// The networks that commands can use: none, default and host. The default is none and default.
	Networks List `yaml:"networks,omitempty" json:"networks,omitzero"`
	// Whether commands can run without the sandbox (security.insecure).
	Insecure bool `yaml:"insecure,omitempty" json:"insecure,omitempty" jsonschema:"default=false"`
	// The ids of the client's ssh agents that commands can use; a * stands for any characters, and
	// true for all. An agent without an id has the id "default".
	SSH List `yaml:"ssh,omitempty" json:"ssh,omitzero" boolean:"*"`
	// The ids of secrets that commands can have; a * stands for any characters.
	Secrets List `yaml:"secrets,omitempty" json:"secrets,omitzero"`
	// The names of devices of the builder that commands can use, such as nvidia.com/gpu=all; a *
	// stands for any characters, and true for all.
	Devices List `yaml:"devices,omitempty" json:"devices,omitzero" boolean:"*"`
	// The names of hosts that --add-host can give an address; a * stands for any characters.
	Hosts List `yaml:"hosts,omitempty" json:"hosts,omitzero"`
	// The resource limits that commands can set, by name, and their highest values.
	Ulimits map[string]int `yaml:"ulimits,omitempty" json:"ulimits,omitempty" jsonschema:"minProperties=1"`
	// The control groups below which commands can run; a * stands for any characters.
	CgroupParents List `yaml:"cgroupParents,omitempty" json:"cgroupParents,omitzero"`
	// What commands can download. Only policy-guard sees that, and applies this. It restricts nothing
	// else that commands use.
	Downloads *DownloadRules `yaml:"downloads,omitempty" json:"downloads,omitempty"`
	// What commands can't use, whatever else is allowed. If exec has no other field than downloads,
	// commands can use everything else.
	Deny *ExecDenials `yaml:"deny,omitempty" json:"deny,omitempty"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: no command is allowed.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	hosts, cgroupParents []string // normalised
	ulimits              map[string]int
}

// DownloadRules are rules on what commands request by http and https while they run. That includes
// what they send, and each request after a redirect.
type DownloadRules struct {
	// URLs that can be requested, such as https://deb.debian.org/**. Without a path, a pattern is for
	// the whole host; without a scheme, for https. An empty list allows none. The default is any URL.
	Allow List `yaml:"allow,omitempty" json:"allow,omitzero"`
	// URLs that can't be requested. A pattern is for each port, and for everything below its path;
	// without a scheme, for each scheme.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`

	// Denied says that the document has deny in place of the fields: commands can request nothing.
	Denied bool `yaml:"-" json:"-" scalar:"deny"`

	urls urlRules
}

// ExecDenials list what commands can't use.
type ExecDenials struct {
	// The networks that commands can't use: none, default and host.
	Networks []string `yaml:"networks,omitempty" json:"networks,omitempty" jsonschema:"minItems=1"`
	// Whether commands that ask to run without the sandbox (security.insecure) are refused.
	Insecure bool `yaml:"insecure,omitempty" json:"insecure,omitempty" jsonschema:"default=false"`
	// The ids of the client's ssh agents that commands can't use; a * stands for any characters, and
	// true for all.
	SSH List `yaml:"ssh,omitempty" json:"ssh,omitzero" boolean:"*"`
	// The ids of secrets that commands can't have; a * stands for any characters.
	Secrets []string `yaml:"secrets,omitempty" json:"secrets,omitempty" jsonschema:"minItems=1"`
	// The names of devices that commands can't use, or kinds such as nvidia.com/gpu for all of a kind.
	// A * stands for any characters, and true for all.
	Devices List `yaml:"devices,omitempty" json:"devices,omitzero" boolean:"*"`
	// The names of hosts that --add-host can't give an address; a * stands for any characters.
	Hosts []string `yaml:"hosts,omitempty" json:"hosts,omitempty" jsonschema:"minItems=1"`
	// The names of resource limits that commands can't set; a * stands for any characters.
	Ulimits []string `yaml:"ulimits,omitempty" json:"ulimits,omitempty" jsonschema:"minItems=1"`
	// The control groups below which commands can't run; a * stands for any characters.
	CgroupParents []string `yaml:"cgroupParents,omitempty" json:"cgroupParents,omitempty" jsonschema:"minItems=1"`

	hosts, ulimits, cgroupParents []string // normalised
}

// ConfigRules are rules on the configuration of the built image. They are one set of conditions, or
// several.
type ConfigRules struct {
	ConfigSet `yaml:",inline"`

	// Sets of conditions. Each can be for some results only, and an image has to satisfy all that are
	// for it. The list can stand alone, in place of the fields.
	Sets []*ConfigSet `yaml:"sets,omitempty" json:"sets,omitempty" jsonschema:"minItems=1" sequence:"true"`
	// What a violation of these rules does. With warn, the build goes on with a warning. The default
	// is enforce. If a rule and the policy have rules of the kind, they only warn if both say warn.
	Mode imagerules.Mode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=enforce,enum=warn,default=enforce"`
}

// Results says which results of builds a [ConfigSet] is for.
type Results string

// The results.
const (
	ResultsAll Results = "all"
	// ResultsRunnable are images with an entrypoint or a command.
	ResultsRunnable Results = "runnable"
)

// ConfigSet is a set of conditions on a configuration, and says which results they are for.
type ConfigSet struct {
	// Targets that the conditions are for, as the build requests them by name; a * stands for any
	// characters, and letter case doesn't matter. They are also for a build that names no target, or
	// one by number. The default is all.
	Targets []string `yaml:"targets,omitempty" json:"targets,omitempty" jsonschema:"minItems=1"`
	// Targets that the conditions are not for, in the form of targets. A build that names no target,
	// or one by number, is never excepted.
	ExceptTargets []string `yaml:"exceptTargets,omitempty" json:"exceptTargets,omitempty" jsonschema:"minItems=1"`
	// Results that the conditions are for: all, or only runnable ones. A result is runnable if its
	// configuration has an entrypoint or a command. The default is all.
	Results Results `yaml:"results,omitempty" json:"results,omitempty" jsonschema:"enum=all,enum=runnable,default=all"`
	// The user that the image runs as, without its group. It must be one of the required users. An
	// empty user, root and 0 are the same.
	User *Demand `yaml:"user,omitempty" json:"user,omitempty"`
	// Keys of labels, and their values.
	Labels *LabelDemand `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Names of environment variables.
	Env *Demand `yaml:"env,omitempty" json:"env,omitempty"`
	// Exposed ports, such as 80/tcp, 1-1023/tcp or 53/*. In require, 80 is 80/tcp; in forbid, it is
	// that port of any protocol.
	Ports *Demand `yaml:"ports,omitempty" json:"ports,omitempty"`
	// Paths of volumes.
	Volumes *Demand `yaml:"volumes,omitempty" json:"volumes,omitempty"`

	targets, exceptTargets []string // in lower case
}

// Demand lists entries that must be present and entries that must not be.
type Demand struct {
	// Entries that must be present; a * stands for any characters.
	Require []string `yaml:"require,omitempty" json:"require,omitempty" jsonschema:"minItems=1" blank:"true"`
	// Entries that must not be present; a * stands for any characters.
	Forbid []string `yaml:"forbid,omitempty" json:"forbid,omitempty" jsonschema:"minItems=1" blank:"true"`

	require, forbid []entry // one for each entry
}

// LabelDemand is a [Demand] on the keys of labels, and one on their values.
type LabelDemand struct {
	Demand `yaml:",inline"`

	// Labels that must be present with these values; in a value, a * stands for any characters.
	Values map[string]string `yaml:"values,omitempty" json:"values,omitempty" jsonschema:"minProperties=1" blank:"true"`

	values []labelValue
}

// labelValue is a label that must be present, and a glob for its value.
type labelValue struct{ key, value string }

// urlRules are compiled rules on URLs.
type urlRules struct{ allow, deny []urlmatch.Pattern }
