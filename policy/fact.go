package policy

import "github.com/policy-frontend/policy-frontend/policy/imageref"

// Fact is one thing that an inner frontend asks the builder for, or the image that
// it hands back. Exactly one of its fields is set; what isn't a fact is denied.
//
// All texts are as the inner frontend wrote them: hostile until Judge has read them.
// Of a kind that is restricted, Judge denies a reference or other text of more than
// imageref.MaxSize bytes, and a URL of more than 8 KiB.
type Fact struct {
	// Image is a reference, without scheme.
	Image string `yaml:"image,omitempty"`
	// Git is a git repository.
	Git *GitFact `yaml:"git,omitempty"`
	// HTTP is a download.
	HTTP *HTTPFact `yaml:"http,omitempty"`
	// Local is the name of a folder of the client.
	Local string `yaml:"local,omitempty"`
	// OCILayout is a reference in an OCI layout of the client.
	OCILayout string `yaml:"ociLayout,omitempty"`
	// Blob is a reference with the digest of a blob.
	Blob string `yaml:"blob,omitempty"`
	// Exec is a command, of a step of the build.
	Exec *ExecFact `yaml:"exec,omitempty"`
	// Container is a command that the frontend runs in a container of its own. It is
	// judged as Exec too.
	Container *ExecFact `yaml:"container,omitempty"`
	// Frontend is the reference of another frontend that is to be run.
	Frontend string `yaml:"frontend,omitempty"`
	// Config is the configuration of an image that is handed back.
	Config *ConfigFact `yaml:"config,omitempty"`
	// Unknown says what was asked for that nobody can judge, such as "an operation of
	// an unknown type". No rule allows it.
	Unknown string `yaml:"unknown,omitempty"`
}

// GitFact is a git repository that a build reads.
type GitFact struct {
	// URL has a scheme (https, http, ssh or git), or is user@host:path, which is ssh.
	// It has no fragment and no query.
	URL string `yaml:"url"`
	// Ref is a branch, tag or commit; empty for the default branch.
	Ref string `yaml:"ref,omitempty"`
	// Checksum is the commit that the ref must be, or "".
	Checksum string `yaml:"checksum,omitempty"`
}

// HTTPFact is a file that a build downloads.
type HTTPFact struct {
	// URL is https or http. What follows a question mark is not compared.
	URL string `yaml:"url"`
	// Checksum is the digest that the file must have, or "".
	Checksum string `yaml:"checksum,omitempty"`
}

// The networks of commands.
const (
	NetworkNone    = "none"
	NetworkDefault = "default"
	NetworkHost    = "host"
)

// ExecFact is what a command uses.
type ExecFact struct {
	// Network is NetworkNone, NetworkDefault or NetworkHost; empty is NetworkDefault.
	Network  string   `yaml:"network,omitempty"`
	Insecure bool     `yaml:"insecure,omitempty"`
	SSH      []string `yaml:"ssh,omitempty"`     // ids; "default" for the one that has none
	Secrets  []string `yaml:"secrets,omitempty"` // ids
	Devices  []string `yaml:"devices,omitempty"`
	Hosts    []string `yaml:"hosts,omitempty"`
	// Ulimits are the higher of the soft and the hard limit; -1 is none.
	Ulimits      map[string]int `yaml:"ulimits,omitempty"`
	CgroupParent string         `yaml:"cgroupParent,omitempty"`
}

// ConfigFact is the configuration of an image, as in the OCI image specification;
// the empty one for an image that has none.
type ConfigFact struct {
	// Platform is what the image is for, such as linux/amd64; empty if the build makes
	// one image only.
	Platform string            `yaml:"platform,omitempty"`
	User     string            `yaml:"user,omitempty"`
	Labels   map[string]string `yaml:"labels,omitempty"`
	Env      []string          `yaml:"env,omitempty"` // names, without values
	Ports    []string          `yaml:"ports,omitempty"`
	Volumes  []string          `yaml:"volumes,omitempty"`
}

// Ruling is what the rules on builds say of a fact.
type Ruling struct {
	// Verdict is Allow, Warn or Deny.
	Verdict Verdict
	// Rule and Layer are those of the build rules that decided.
	Rule  string
	Layer string
	// Reason is one sentence for a person, of a denial or, for Warn, what would be one.
	Reason string
	// Messages are those of the rule. Never nil.
	Messages []string
	// Allowed is what the rules allow of this kind, at most five.
	Allowed []string
	// Contact is whom to ask.
	Contact string
	// Image is what is to be read instead of the fact's Image, with the digest that
	// it is pinned to; the zero Reference if nothing is to be changed.
	Image imageref.Reference
}
