package imageref

import (
	"slices"
	"strings"
)

// hubHosts returns the hosts of Docker Hub: docker.io, and those that lead to the same registry.
func hubHosts() []string {
	return []string{dockerHost, indexHost, "registry-1.docker.io", "registry.hub.docker.com"}
}

// ParseDenyPattern reads a pattern of image names that are denied. It means the most that
// its words can mean, so it returns patterns that together match at least what
// [ParsePattern] makes of the same words:
//   - A host without a port is any port of it, and docker.io is all hosts of Docker Hub.
//   - A "*" in a host stands for dots too.
//   - A name of one component after the host is an image, or a directory of images.
//   - With "/**" at the end, a directory is also an image of that name.
//
// Errors are those of [ParsePattern].
func ParseDenyPattern(s string) ([]Pattern, error) {
	components, err := parseComponents(s)
	if err != nil {
		return nil, err
	}
	meant := meaning(s, strings.Join(official(components), "/"))
	var out []Pattern
	for _, host := range deniedHosts(components[0]) {
		for _, path := range deniedPaths(components) {
			out = append(out, newPattern(append([]string{host}, path...), meant))
		}
	}
	return out, nil
}

// deniedHosts returns the first components of denied names.
func deniedHosts(first string) []string {
	if first == "**" {
		return []string{first}
	}
	name, port := splitPort(first)
	if port == "" {
		port = "*"
	}
	for strings.Contains(name, "**") {
		name = strings.ReplaceAll(name, "**", "*")
	}
	hosts := []string{name}
	if onHub(first) {
		hosts = hubHosts()
	}
	for i, h := range hosts {
		hosts[i] = strings.ReplaceAll(h, "*", "**") + ":" + port
	}
	return hosts
}

// deniedPaths returns the other components of denied names.
func deniedPaths(components []string) [][]string {
	path := components[1:]
	if len(path) == 0 {
		return [][]string{nil} // It is "**".
	}
	last := len(path) - 1
	isHub := onHub(components[0])
	switch {
	case path[last] == "**" && (last == 0 || isHub && last == 1):
		return [][]string{path} // Neither a host nor a directory below docker.io is an image.
	case path[last] == "**":
		return [][]string{path, path[:last]}
	case last > 0 || components[0] == "**":
		return [][]string{path}
	case isHub:
		return [][]string{{libraryDirectory, path[0]}, {path[0], "**"}}
	}
	return [][]string{path, {path[0], "**"}}
}

// IsOtherHubHost reports whether a name or pattern in canonical form is on another host of Docker
// Hub than docker.io.
func IsOtherHubHost(name string) bool {
	host, _, _ := strings.Cut(name, "/")
	return host != dockerHost && slices.Contains(hubHosts(), host)
}

// DefaultHost returns the reference on the host that is usually written for its registry: without
// a port, and docker.io for all hosts of Docker Hub.
func DefaultHost(r Reference) Reference {
	name, _ := splitPort(r.host)
	if slices.Contains(hubHosts(), name) {
		name = dockerHost
	}
	if !isHost(name) {
		return r // Without the port, it would be a directory on docker.io.
	}
	r.host = name
	return r
}
