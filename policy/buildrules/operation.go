package buildrules

// Operation is one thing that a frontend asks the builder to do, or the configuration of an image
// that it returns. Exactly one of its fields is set. Any other operation is denied.
//
// All strings are as the frontend wrote them, so they are hostile. If rules restrict the kind,
// [Operation.Normalize] refuses a reference or other string of more than [imageref.MaxSize]
// bytes, and a URL of more than 8 KiB.
type Operation struct {
	// Image is a reference, without scheme.
	Image string `yaml:"image,omitempty"`
	// Git is a git repository.
	Git *Git `yaml:"git,omitempty"`
	// HTTP is a download.
	HTTP *HTTP `yaml:"http,omitempty"`
	// Local is the name of a directory of the client.
	Local string `yaml:"local,omitempty"`
	// OCILayout is a reference in an OCI layout of the client.
	OCILayout string `yaml:"ociLayout,omitempty"`
	// Blob is a reference with the digest of a blob.
	Blob string `yaml:"blob,omitempty"`
	// Exec is the command of a step of the build.
	Exec *Exec `yaml:"exec,omitempty"`
	// Download is the https or http URL that a command requests while it runs, by whatever method.
	// Rules don't compare the query.
	Download string `yaml:"download,omitempty"`
	// Container is a command that the frontend runs in a container of its own. Rules for
	// commands apply to it too.
	Container *Exec `yaml:"container,omitempty"`
	// Frontend is the reference of a nested frontend.
	Frontend string `yaml:"frontend,omitempty"`
	// Config is the configuration of an image that the frontend returns.
	Config *Config `yaml:"config,omitempty"`
	// Unknown names an operation that nobody can check, such as "an operation of an unknown
	// type". No rule allows it.
	Unknown string `yaml:"unknown,omitempty"`
}

// Git is a git repository that a build reads.
type Git struct {
	// URL has a scheme (https, http, ssh or git), or is user@host:path, which is ssh.
	// It has no fragment and no query.
	URL string `yaml:"url"`
	// Ref is a branch, tag or commit; empty for the default branch.
	Ref string `yaml:"ref,omitempty"`
	// Checksum is the commit that the ref must be, or "".
	Checksum string `yaml:"checksum,omitempty"`
}

// HTTP is a file that a build downloads.
type HTTP struct {
	// URL is https or http. Rules don't compare the query.
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

// Exec is what a command uses.
type Exec struct {
	// Network is NetworkNone, NetworkDefault or NetworkHost; empty is NetworkDefault.
	Network  string `yaml:"network,omitempty"`
	Insecure bool   `yaml:"insecure,omitempty"`
	// SSH are the ids of agents; "default" for the one that has none.
	SSH []string `yaml:"ssh,omitempty"`
	// Secrets are ids.
	Secrets []string `yaml:"secrets,omitempty" blank:"true"`
	Devices []string `yaml:"devices,omitempty"`
	Hosts   []string `yaml:"hosts,omitempty"`
	// Ulimits are the higher of the soft and the hard limit; -1 is none.
	Ulimits      map[string]int `yaml:"ulimits,omitempty"`
	CgroupParent string         `yaml:"cgroupParent,omitempty"`
}

// Config is the configuration of an image, as in the OCI image specification;
// the empty one for an image that has none.
type Config struct {
	// Platform is what the image is for, such as linux/amd64; empty if the build makes
	// one image only.
	Platform string `yaml:"platform,omitempty"`
	// Target is the option "target" as the frontend gets it; empty if the build names no target.
	Target  string            `yaml:"target,omitempty"`
	User    string            `yaml:"user,omitempty" blank:"true"`
	Labels  map[string]string `yaml:"labels,omitempty" blank:"true"`
	Env     []string          `yaml:"env,omitempty"` // NAME=VALUE, or names alone
	Ports   []string          `yaml:"ports,omitempty"`
	Volumes []string          `yaml:"volumes,omitempty"`
	// Entrypoint and Cmd count only by whether they are empty.
	Entrypoint []string `yaml:"entrypoint,omitempty" blank:"true"`
	Cmd        []string `yaml:"cmd,omitempty" blank:"true"`
}
