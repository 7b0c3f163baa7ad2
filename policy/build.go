package policy

import (
	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Dispatch says how an allowed frontend runs.
type Dispatch string

// The dispatchers.
const (
	// DispatchForward has the daemon run the frontend's image. What it builds can be
	// judged when it has returned its result, and no earlier.
	DispatchForward Dispatch = "forward"
	// DispatchMediate runs the frontend's image in a container of the policy frontend's,
	// and judges each of its calls before the daemon sees it.
	DispatchMediate Dispatch = "mediate"
	// DispatchBuiltin runs the Dockerfile frontend that is a part of the policy
	// frontend instead of an image, and judges each of its calls.
	DispatchBuiltin Dispatch = "builtin"
)

// Build are rules on what a frontend builds. A kind that is left out is not
// restricted; of a kind that is there, only what it lists is allowed, and what it
// denies is denied whatever else it lists.
type Build struct {
	// Images that can be built on or copied from.
	Images *ImageRules `yaml:"images,omitempty" json:"images,omitempty"`
	// Git repositories that can be read. Their submodules, which BuildKit reads too, can't be seen.
	Git *GitRules `yaml:"git,omitempty" json:"git,omitempty"`
	// Files that can be downloaded by http or https. Where a server redirects to can't be seen.
	HTTP *HTTPRules `yaml:"http,omitempty" json:"http,omitempty"`
	// Folders of the client that can be read.
	Local *NameRules `yaml:"local,omitempty" json:"local,omitempty"`
	// Images in an OCI layout of the client that can be read.
	OCILayout *PatternRules `yaml:"ociLayout,omitempty" json:"ociLayout,omitempty"`
	// Blobs of registries that can be read, by the name of their repository.
	Blob *PatternRules `yaml:"blob,omitempty" json:"blob,omitempty"`
	// What commands can use while they run.
	Exec *ExecRules `yaml:"exec,omitempty" json:"exec,omitempty"`
	// Other frontends that the frontend can run. Needs a dispatch other than forward.
	Frontends *PatternRules `yaml:"frontends,omitempty" json:"frontends,omitempty"`
	// Whether the frontend can start containers of its own, beside the steps of the build; deny if left out. With forward it can't be seen.
	Containers Action `yaml:"containers,omitempty" json:"containers,omitempty" jsonschema:"enum=allow,enum=deny,default=deny"`
	// What the configuration of the image that is built must have.
	Config *ConfigRules `yaml:"config,omitempty" json:"config,omitempty"`
}

// ImageRules are rules on base images and other images that a build reads.
type ImageRules struct {
	// Names that can be used, in the form of a rule's match; any if left out.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"minItems=1"`
	// Names that can't be used.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether an image must be asked for with its digest. A pin counts as one.
	RequireDigest bool `yaml:"requireDigest,omitempty" json:"requireDigest,omitempty" jsonschema:"default=false"`
	// The digest that each name:tag has.
	Pins map[string]string `yaml:"pins,omitempty" json:"pins,omitempty" jsonschema:"minProperties=1"`
	// What other names stand for, such as that of a mirror; the first that matches replaces a name, once, before anything else is looked at.
	Convert []Conversion `yaml:"convert,omitempty" json:"convert,omitempty"`

	allow, deny []imageref.Pattern
	pins        map[string]digest.Digest // by normalised name:tag
}

// Conversion makes one image name, and the names below it, stand for another.
type Conversion struct {
	// The name to replace, without tag or digest: that of a repository, or of a folder such as docker.io/library, of which the rest of a name is kept. With /** at the end, only what is below it.
	From string `yaml:"from" json:"from" jsonschema:"minLength=1,maxLength=512"`
	// The name to put in its place; it ends in /** if from does.
	To string `yaml:"to" json:"to" jsonschema:"minLength=1,maxLength=512"`

	from, to             imageref.Pattern
	fromFolder, toFolder string // with a slash at the end; "" if from is only for what is below it
}

// GitRules are rules on git repositories.
type GitRules struct {
	// URLs that can be read, such as https://git.corp.example/**; any if left out.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"minItems=1"`
	// URLs that can't be read.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether the whole name of a commit must be asked for.
	RequireCommit bool `yaml:"requireCommit,omitempty" json:"requireCommit,omitempty" jsonschema:"default=false"`

	urls urlRules
}

// HTTPRules are rules on downloads.
type HTTPRules struct {
	// URLs that can be read, such as https://files.corp.example/**; any if left out.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"minItems=1"`
	// URLs that can't be read.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
	// Whether the checksum of what is downloaded must be given.
	RequireChecksum bool `yaml:"requireChecksum,omitempty" json:"requireChecksum,omitempty" jsonschema:"default=false"`

	urls urlRules
}

// NameRules are rules on plain names.
type NameRules struct {
	// Names that can be used; a * stands for any characters. Any if left out.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"minItems=1"`
	// Names that can't be used; a * stands for any characters.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`
}

// PatternRules are rules on names of repositories.
type PatternRules struct {
	// Names that can be used, in the form of a rule's match; any if left out.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"minItems=1"`
	// Names that can't be used.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty" jsonschema:"minItems=1"`

	allow, deny []imageref.Pattern
}

// ExecRules are rules on commands. What is left out is not allowed, but for the
// networks none and default.
type ExecRules struct {
	// The networks that commands can use: none, default and host; none and default if left out.
	Networks []string `yaml:"networks,omitempty" json:"networks,omitempty" jsonschema:"minItems=1"`
	// Whether commands can run without the sandbox (security.insecure).
	Insecure bool `yaml:"insecure,omitempty" json:"insecure,omitempty" jsonschema:"default=false"`
	// Whether commands can use the client's ssh agent.
	SSH bool `yaml:"ssh,omitempty" json:"ssh,omitempty" jsonschema:"default=false"`
	// The ids of secrets that commands can have; a * stands for any characters.
	Secrets []string `yaml:"secrets,omitempty" json:"secrets,omitempty" jsonschema:"minItems=1"`
	// Whether commands can use devices of the builder.
	Devices bool `yaml:"devices,omitempty" json:"devices,omitempty" jsonschema:"default=false"`
	// The names of hosts that can be given addresses; a * stands for any characters.
	Hosts []string `yaml:"hosts,omitempty" json:"hosts,omitempty" jsonschema:"minItems=1"`
	// The resource limits that commands can set, by name, and how high.
	Ulimits map[string]int `yaml:"ulimits,omitempty" json:"ulimits,omitempty" jsonschema:"minProperties=1"`
	// The control groups below which commands can run; a * stands for any characters.
	CgroupParents []string `yaml:"cgroupParents,omitempty" json:"cgroupParents,omitempty" jsonschema:"minItems=1"`

	hosts, cgroupParents []string // normalised
	ulimits              map[string]int
}

// ConfigRules are rules on the configuration of the image that is built.
type ConfigRules struct {
	// The user that the image runs as, without its group: one of those required. An empty user, root and 0 are the same.
	User *Demand `yaml:"user,omitempty" json:"user,omitempty"`
	// Keys of labels.
	Labels *Demand `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Names of environment variables.
	Env *Demand `yaml:"env,omitempty" json:"env,omitempty"`
	// Exposed ports, such as 80/tcp; 80 is the same.
	Ports *Demand `yaml:"ports,omitempty" json:"ports,omitempty"`
	// Paths of volumes.
	Volumes *Demand `yaml:"volumes,omitempty" json:"volumes,omitempty"`
}

// Demand says what must be there and what must not.
type Demand struct {
	// What must be there; a * stands for any characters.
	Require []string `yaml:"require,omitempty" json:"require,omitempty" jsonschema:"minItems=1" blank:"true"`
	// What must not be there; a * stands for any characters.
	Forbid []string `yaml:"forbid,omitempty" json:"forbid,omitempty" jsonschema:"minItems=1" blank:"true"`

	require, forbid []string // normalised
}

// urlRules are compiled rules on URLs.
type urlRules struct{ allow, deny []urlmatch.Pattern }
