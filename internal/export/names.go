package export

import (
	"regexp"
	"strings"
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
