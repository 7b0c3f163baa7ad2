package buildrules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxShown is how many bytes of a string a description repeats.
const maxShown = 200

// Describe names the operation for a person. It leaves out what may be a secret: the user in a
// URL and everything after a question mark.
func (o Operation) Describe() string {
	for i := range kinds {
		if kinds[i].matches(o) {
			return kinds[i].describe(o)
		}
	}
	return shown(o.Unknown)
}

func (g *Git) describe() string {
	return "the git repository " +
		plainURL(g.URL) + prefixed("#", g.Ref) + prefixed(", which must be ", g.Checksum)
}

func (h *HTTP) describe() string {
	return "the download " + plainURL(h.URL) + prefixed(", which must be ", h.Checksum)
}

func (e *Exec) describe() string {
	var parts []string
	add := func(what string, items ...string) {
		for _, s := range items {
			parts = append(parts, what+" "+shown(s))
		}
	}
	if e.Network != "" && e.Network != NetworkDefault {
		add("the network", e.Network)
	}
	if e.Insecure {
		parts = append(parts, "no sandbox")
	}
	add("the ssh agent", e.SSH...)
	add("the secret", e.Secrets...)
	add("the device", e.Devices...)
	add("an address for", e.Hosts...)
	for _, name := range slices.Sorted(maps.Keys(e.Ulimits)) {
		parts = append(parts, fmt.Sprintf("the ulimit %s=%d", shown(name), e.Ulimits[name]))
	}
	if e.CgroupParent != "" {
		add("the control group", e.CgroupParent)
	}
	return prefixedList(" with ", parts)
}

func (f *Config) describe() string {
	var parts []string
	if f.User != "" {
		parts = append(parts, "the user "+shown(f.User))
	}
	for _, p := range []struct {
		what  string
		items []string
	}{
		{"the labels", slices.Sorted(maps.Keys(f.Labels))},
		{"the variables", f.variables()},
		{"the ports", f.Ports},
		{"the volumes", f.Volumes},
	} {
		if len(p.items) > 0 {
			parts = append(parts, p.what+" "+shown(strings.Join(p.items, " ")))
		}
	}
	if len(f.Entrypoint)+len(f.Cmd) > 0 {
		parts = append(parts, "a command")
	}
	return "an image" + prefixed(" for ", f.Platform) + prefixed(" of the target ", f.Target) +
		prefixedList(" with ", parts)
}

// plainURL leaves out the parts of a URL that may be secrets.
func plainURL(s string) string {
	s, query, ok := strings.Cut(s, "?")
	if ok && query != "" {
		s += "?…"
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return shown(s)
	}
	authority, path, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if slash {
		path = "/" + path
	}
	return shown(scheme + "://" + authority + path)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + shown(s)
}

func prefixedList(prefix string, parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return prefix + strings.Join(parts, ", ")
}

// shown bounds a string, and escapes everything that a terminal might act on.
func shown(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
