package opcheck

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// maxShown is how many bytes of a text of a fact are repeated.
const maxShown = 200

// Describe names a fact for a person, without what may be a secret: the user of a
// URL and what follows its question mark.
func Describe(f policy.Fact) string {
	switch {
	case f.Image != "":
		return "the image " + printable(f.Image)
	case f.Git != nil:
		return "the git repository " + plainURL(f.Git.URL) + prefixed("#", f.Git.Ref) + prefixed(", which must be ", f.Git.Checksum)
	case f.HTTP != nil:
		return "the download " + plainURL(f.HTTP.URL) + prefixed(", which must be ", f.HTTP.Checksum)
	case f.Local != "":
		return "the client's folder " + printable(f.Local)
	case f.OCILayout != "":
		return "the image in an OCI layout " + printable(f.OCILayout)
	case f.Blob != "":
		return "the blob " + printable(f.Blob)
	case f.Exec != nil:
		return "a command" + describeExec(f.Exec)
	case f.Container != nil:
		return "a container of the frontend's" + describeExec(f.Container)
	case f.Frontend != "":
		return "the frontend " + printable(f.Frontend)
	case f.Config != nil:
		return "an image" + prefixed(" for ", f.Config.Platform) + describeConfig(f.Config)
	}
	return printable(f.Unknown)
}

func describeExec(f *policy.ExecFact) string {
	var parts []string
	add := func(what string, items ...string) {
		for _, s := range items {
			parts = append(parts, what+" "+printable(s))
		}
	}
	if f.Network != "" && f.Network != policy.NetworkDefault {
		add("the network", f.Network)
	}
	if f.Insecure {
		parts = append(parts, "no sandbox")
	}
	add("the ssh agent", f.SSH...)
	add("the secret", f.Secrets...)
	add("the device", f.Devices...)
	add("an address for", f.Hosts...)
	for _, name := range slices.Sorted(maps.Keys(f.Ulimits)) {
		parts = append(parts, fmt.Sprintf("the ulimit %s=%d", printable(name), f.Ulimits[name]))
	}
	if f.CgroupParent != "" {
		add("the control group", f.CgroupParent)
	}
	return prefixedList(" with ", parts)
}

func describeConfig(f *policy.ConfigFact) string {
	var parts []string
	if f.User != "" {
		parts = append(parts, "the user "+printable(f.User))
	}
	for _, p := range []struct {
		what  string
		items []string
	}{
		{"the labels", slices.Sorted(maps.Keys(f.Labels))},
		{"the variables", f.Env},
		{"the ports", f.Ports},
		{"the volumes", f.Volumes},
	} {
		if len(p.items) > 0 {
			parts = append(parts, p.what+" "+printable(strings.Join(p.items, " ")))
		}
	}
	return prefixedList(" with ", parts)
}

// plainURL cuts off what may be a secret.
func plainURL(s string) string {
	s, query, ok := strings.Cut(s, "?")
	if ok && query != "" {
		s += "?…"
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return printable(s)
	}
	authority, path, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if slash {
		path = "/" + path
	}
	return printable(scheme + "://" + authority + path)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + printable(s)
}

func prefixedList(prefix string, parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return prefix + strings.Join(parts, ", ")
}

// printable bounds a text and escapes what a terminal might act on.
func printable(s string) string {
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
