package export

import (
	"regexp"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// nameRegex writes a match pattern as a regular expression for a name in a source's
// identifier. The wide form is for denials and matches at least what the pattern matches.
// The narrow form matches at most that.
func nameRegex(pattern string, wide bool) string {
	components := strings.Split(pattern, "/")
	var b strings.Builder
	for i, c := range components {
		last := i == len(components)-1
		switch {
		case i == 0 && c != "*" && c != "**":
			b.WriteString(hostRegex(c) + "/")
		case c == "**" && last:
			b.WriteString(`[^/@]+(?:/[^/:@]+)*`)
		case c == "**":
			b.WriteString(`(?:[^/@]+/)*`)
		default:
			star := `[^/:@]*`
			if i == 0 && wide {
				star = `[^/@]*` // with a port
			}
			b.WriteString(globRegex(c, star))
			if !last {
				b.WriteByte('/')
			}
		}
	}
	return b.String()
}

// somePort is a port in a host pattern that is for any port, and not for none.
const somePort = ":**"

// hostRegex writes a host pattern as a regular expression, in the grammar of
// globs.ParseImage.
func hostRegex(host string) string {
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		name, port = host[:i], host[i:]
	}
	star := `[^/:@.]*`
	if globs.IsIPv4(name) {
		star = `[0-9]*`
	}
	parts := strings.Split(name, "**")
	for i, p := range parts {
		parts[i] = globRegex(p, star)
	}
	switch port {
	case ":*":
		port = `(?::[0-9]+)?`
	case somePort:
		port = `:[0-9]+`
	default:
		port = regexp.QuoteMeta(port)
	}
	return strings.Join(parts, `[^/:@]*`) + port
}

func nameRegexes(patterns []string, wide bool) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = nameRegex(p, wide)
	}
	return out
}

// globRegex writes a glob as a regular expression that has star for each "*".
func globRegex(glob, star string) string {
	parts := strings.Split(glob, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return strings.Join(parts, star)
}

// anyOf writes alternatives as one group.
func anyOf(items []string) string {
	return "(?:" + strings.Join(items, "|") + ")"
}

// foreignSpelling matches names in spellings other than the canonical form: hosts in upper
// case, with a default or padded port, Docker Hub's other host, and IPv6 addresses. The
// exported rules use the canonical form, so other spellings are refused.
const foreignSpelling = `(?:[^/]*[A-Z][^/]*|[^/]*:(?:0[0-9]*|443)|index\.docker\.io|\[[^/]*)/`
