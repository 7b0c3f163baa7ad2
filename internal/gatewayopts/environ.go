package gatewayopts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/gateway/client"
)

// Names of the variables in which the gateway hands its data to a frontend
// (frontend/gateway/gateway.go, Solve).
const (
	envOption  = "BUILDKIT_FRONTEND_OPT_" // and a number: KEY=VALUE
	envSession = "BUILDKIT_SESSION_ID"
	envWorkers = "BUILDKIT_WORKERS"
	envProduct = "BUILDKIT_EXPORTEDPRODUCT"
)

// Environment is what the gateway hands to a frontend.
type Environment struct {
	Options map[string]string
	Session string
	// Product is the product whose capabilities BuildKit announces, such as docker.
	Product string
	Workers []client.WorkerInfo

	workers string // as the gateway wrote them
}

// FromEnviron reads an environment, which is a list of NAME=VALUE.
func FromEnviron(environ []string) Environment {
	env := Environment{Options: map[string]string{}}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == envSession:
			env.Session = value
		case name == envProduct:
			env.Product = value
		case name == envWorkers:
			env.workers = value
			if json.Unmarshal([]byte(value), &env.Workers) != nil {
				env.Workers = nil // as in BuildKit (frontend/gateway/grpcclient, workers)
			}
		case strings.HasPrefix(name, envOption):
			key, option, _ := strings.Cut(value, "=")
			env.Options[key] = option
		}
	}
	return env
}

// Environ writes the environment that FromEnviron reads, with other options. All of them
// have to be [Writable].
func (env Environment) Environ(opts map[string]string) []string {
	environ := make([]string, 0, len(opts)+3)
	for i, key := range slices.Sorted(maps.Keys(opts)) {
		environ = append(environ, fmt.Sprintf("%s%d=%s=%s", envOption, i, key, opts[key]))
	}
	return append(environ,
		envSession+"="+env.Session, envWorkers+"="+env.workers, envProduct+"="+env.Product)
}

// Writable reports whether an option arrives as it was sent. Others arrive under another
// key or with another value.
func Writable(key, value string) bool {
	return !strings.ContainsAny(key, "=\x00") && !strings.Contains(value, "\x00")
}
