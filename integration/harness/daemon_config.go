package harness

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// DaemonConfig is the part of buildkitd.toml that tests vary. The zero value is
// a plain daemon: every frontend image allowed, dockerfile.v0 enabled.
type DaemonConfig struct {
	// DockerfileOff disables the built-in dockerfile.v0 frontend.
	DockerfileOff bool
	// AllowedRepositories is gateway.v0's list; nil allows every repository.
	AllowedRepositories []string
	// Entitlements that builds may ask for, such as "network.host".
	Entitlements []string
	// Mirrors maps a registry such as "docker.io" to the hosts that the daemon asks instead,
	// all of them without TLS.
	Mirrors map[string][]string
	// InHostNetwork has a rootless daemon share the network of the machine, as that of the image
	// moby/buildkit:rootless shares its container's.
	InHostNetwork bool
	// NoProcessSandbox runs commands among the daemon's own processes. It is for rootless daemons.
	NoProcessSandbox bool
	// DeviceSpecs, if not empty, is a folder with CDI specifications of devices that commands can
	// have. Otherwise the daemon has none, also not those of the machine.
	DeviceSpecs string
	// Quiet leaves out the debug log, as daemons in use do.
	Quiet bool
	// Extra is TOML that is appended as it is.
	Extra string
	// Resolver, if not empty, is a file that stands in for /etc/resolv.conf. It is for daemons with
	// root.
	Resolver string
	// Env are further environment variables of the daemon.
	Env []string
	// Root, if not empty, is used and kept instead of a temporary directory. One daemon at
	// a time may use it.
	Root string
}

// toml renders the configuration for a daemon whose files are under dir.
func (c DaemonConfig) toml(root, dir, snapshotter, runc string, rootless bool) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("root = %q", root)
	line("insecure-entitlements = %s", tomlList(c.Entitlements))
	level := "debug"
	if c.Quiet {
		level = "info"
	}
	line("[log]\n  level = %q\n  format = \"text\"", level)
	line("[grpc]\n  address = [%q]", "unix://"+filepath.Join(dir, socketName))
	// Without it all daemons of the machine share one socket.
	line("[otel]\n  socketPath = %q", filepath.Join(dir, "otel.sock"))
	line("[cdi]\n  disabled = %t", c.DeviceSpecs == "")
	if c.DeviceSpecs != "" {
		line("  specDirs = [%q]", c.DeviceSpecs)
	}
	line("[worker.oci]\n  enabled = true\n  networkMode = \"host\"")
	if c.NoProcessSandbox {
		line("  noProcessSandbox = true")
	}
	line("  rootless = %t\n  binary = %q\n  snapshotter = %q", rootless, runc, snapshotter)
	line("[worker.containerd]\n  enabled = false")
	line("[frontend.\"dockerfile.v0\"]\n  enabled = %t", !c.DockerfileOff)
	line("[frontend.\"gateway.v0\"]\n  enabled = true")
	if c.AllowedRepositories != nil {
		line("  allowedRepositories = %s", tomlList(c.AllowedRepositories))
	}
	plain := map[string]bool{}
	for _, registry := range slices.Sorted(maps.Keys(c.Mirrors)) {
		line("[registry.%q]\n  mirrors = %s", registry, tomlList(c.Mirrors[registry]))
		for _, host := range c.Mirrors[registry] {
			plain[host] = true
		}
	}
	for _, host := range slices.Sorted(maps.Keys(plain)) {
		line("[registry.%q]\n  http = true", host)
	}
	b.WriteString(c.Extra)
	return b.String()
}

func tomlList(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
