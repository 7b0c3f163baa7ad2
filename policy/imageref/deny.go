package imageref

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// hubHosts returns the hosts of Docker Hub: docker.io, and those that lead to the same registry.
func hubHosts() []string {
	return []string{dockerHost, indexHost, "registry-1.docker.io", "registry.hub.docker.com"}
}

// maxOpenLabels is how many labels "**" a denied host can have. Each can stand for no label, so
// they double the patterns that the host needs.
const maxOpenLabels = 4

// ParseDenyPattern reads a pattern of image names that are denied. It means the most that
// its words can mean, so it returns patterns that together match at least what
// [ParsePattern] makes of the same words:
//   - A host without a port is any port of it.
//   - A "*" in a host stands for dots too, and a label "**" for no label too.
//   - A host that is or can be one of Docker Hub is all of its hosts.
//   - A name is an image, or a directory of images. On docker.io, only a name of one component
//     can be both, since an image has two there.
//   - With "/**" at the end, a directory is also an image of that name.
//
// Errors are those of [ParsePattern], and more than four labels "**" in the host.
func ParseDenyPattern(s string) ([]Pattern, error) {
	components, err := parseComponents(s)
	if err != nil {
		return nil, err
	}
	hosts, hubs, err := deniedHosts(components[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safetext.Quote(s), err)
	}
	meant := meaning(s, strings.Join(official(components), "/"))
	var out []Pattern
	add := func(hosts []string, paths [][]string) {
		for _, host := range hosts {
			for _, path := range paths {
				p := newPattern(slices.Concat([]string{host}, path))
				p.meaning = meant
				out = append(out, p)
			}
		}
	}
	add(hosts, deniedPaths(components[1:]))
	if len(hubs) > 0 {
		add(hubs, hubPaths(components[1:]))
	}
	return out, nil
}

// deniedHosts returns the first components of denied names: those that may be of any registry, and
// those of Docker Hub.
func deniedHosts(first string) (hosts, hubs []string, err error) {
	if first == "**" {
		return []string{first}, nil, nil
	}
	name, port := globs.SplitPort(first)
	if port == "" {
		port = "*"
	}
	names, err := withoutLabels(name)
	if err != nil {
		return nil, nil, err
	}
	isHub := false
	for _, n := range names {
		glob := strings.ReplaceAll(n, "**", "*")
		isHub = isHub || slices.ContainsFunc(hubHosts(), func(h string) bool {
			return globs.Match(glob, h)
		})
		if globs.Open(glob) || !slices.Contains(hubHosts(), glob) {
			hosts = append(hosts, strings.ReplaceAll(glob, "*", "**")+":"+port)
		}
	}
	if isHub {
		for _, h := range hubHosts() {
			hubs = append(hubs, h+":"+port)
		}
	}
	return hosts, hubs, nil
}

// withoutLabels returns the name of a host, and the name without each choice of its labels "**".
func withoutLabels(name string) ([]string, error) {
	if !strings.Contains(name, "**") {
		return []string{name}, nil
	}
	open := 0
	names := []string{""}
	for label := range strings.SplitSeq(name, ".") {
		var next []string
		for _, n := range names {
			next = append(next, strings.TrimPrefix(n+"."+label, "."))
		}
		if label == "**" {
			next = append(next, names...)
			open++
		}
		if names = next; open > maxOpenLabels {
			return nil, fmt.Errorf("a denied host can have ** at most %d times", maxOpenLabels)
		}
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" }), nil
}

// hubPaths returns the other components of denied names on Docker Hub.
func hubPaths(path []string) [][]string {
	last := len(path) - 1
	switch {
	case path[last] == "**" && last <= 1:
		return [][]string{path} // A directory of Docker Hub is no image.
	case path[last] == "**":
		return [][]string{path, path[:last]}
	case last > 0:
		return [][]string{path}
	}
	// On its other hosts and ports, the name of an image can have one component.
	return [][]string{{libraryDirectory, path[0]}, path, {path[0], "**"}}
}

// deniedPaths returns the other components of denied names on any registry.
func deniedPaths(path []string) [][]string {
	if len(path) == 0 {
		return [][]string{nil} // It is "**".
	}
	last := len(path) - 1
	switch {
	case path[last] == "**" && last == 0:
		return [][]string{path} // A host is no image.
	case path[last] == "**":
		return [][]string{path, path[:last]}
	}
	return [][]string{path, append(slices.Clone(path), "**")}
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
	name, _ := globs.SplitPort(r.host)
	if slices.Contains(hubHosts(), name) {
		name = dockerHost
	}
	if !isHost(name) {
		return r // Without the port, it would be a directory on docker.io.
	}
	r.host = name
	return r
}
