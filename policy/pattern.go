package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
)

// isAlphanumeric reports whether c stands between separators; a star can stand for
// some of what does.
func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '*'
}

// trimAlphanumeric returns s without what of that it begins with.
func trimAlphanumeric(s string) string {
	i := 0
	for i < len(s) && isAlphanumeric(s[i]) {
		i++
	}
	return s[i:]
}

// maxPattern is the length in bytes of the longest match pattern: every name that
// can be asked for can be written.
const maxPattern = MaxReferenceSize

// pattern is a compiled match pattern.
type pattern struct {
	written    string   // normalised, as Rule.Patterns shows it
	components []string // a "**" at the end is held as "*", "**": at least one component
}

func (p pattern) String() string { return p.written }

// isOpen reports whether the pattern stands for more than one name.
func (p pattern) isOpen() bool { return strings.Contains(p.written, "*") }

func (p pattern) match(name []string) bool { return globPath(p.components, name) }

// parsePattern reads a match pattern. Like a reference, a pattern without a host
// is one on docker.io, and a single component one in its library folder.
func parsePattern(s string) (pattern, error) {
	if err := checkPattern(s); err != nil {
		return pattern{}, err
	}
	components := strings.Split(s, "/")
	first := components[0]
	switch {
	case first == "**":
	case len(components) == 1 || !isHost(strings.ToLower(first)):
		if strings.Contains(first, "*") {
			return pattern{}, fmt.Errorf("%s leaves the host open; write docker.io/%s for docker.io, or **/%s for any host", quote(s), printable(s), printable(strings.TrimPrefix(s, "*/")))
		}
		if strings.ToLower(first) != first {
			return pattern{}, upperCase(s)
		}
		components = append([]string{dockerHost}, components...)
	default:
		host, err := patternHost(first)
		if err != nil {
			return pattern{}, fmt.Errorf("%s: %w", quote(s), err)
		}
		components[0] = host
	}
	if components[0] == dockerHost && len(components) == 2 && components[1] != "**" {
		components = []string{dockerHost, strings.TrimSuffix(libraryPath, "/"), components[1]}
	}
	if err := checkComponents(s, components); err != nil {
		return pattern{}, err
	}
	p := pattern{written: strings.Join(components, "/"), components: components}
	if last := len(components) - 1; components[last] == "**" {
		p.components = append(components[:last:last], "*", "**")
	}
	return p, nil
}

// checkPattern refuses what people write in a pattern that belongs elsewhere.
func checkPattern(s string) error {
	base := s[strings.LastIndexByte(s, '/')+1:]
	switch {
	case s == "":
		return errors.New("the pattern is empty; write one like docker/dockerfile or corp.example/**")
	case len(s) > maxPattern:
		return fmt.Errorf("the pattern has %d bytes, more than %d", len(s), maxPattern)
	case strings.Contains(s, "://"):
		return fmt.Errorf("%s has a scheme; write only the name after it", quote(s))
	case strings.Contains(s, "@"):
		return fmt.Errorf("%s has a digest; a pattern is for names only, use digests: for it", quote(s))
	case strings.Contains(base, ":"):
		return fmt.Errorf("%s has a tag; a pattern is for names only, use tags: for it", quote(s))
	}
	for i, r := range s {
		if !isTagCharacter(r) && r != '/' && r != ':' && r != '*' && r != '[' && r != ']' {
			return fmt.Errorf("%s has the character %s at position %d, which no name can have; a pattern knows only * and **", quote(s), quote(string(r)), i+1)
		}
	}
	return nil
}

func patternHost(s string) (string, error) {
	name, port, hasPort := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		if strings.Contains(s, "*") {
			return "", errors.New("an IPv6 host can't have *")
		}
	} else if strings.Contains(name, "**") {
		return "", errors.New("** must be a whole component; in a host use *")
	} else if hasPort && strings.Contains(port, "*") {
		// The port 443 is never part of a normalised name: the pattern would miss it.
		return "", errors.New("a port can't have *; write one pattern for each port")
	}
	return normalizeHost(s)
}

// checkComponents makes sure that some reference can match: a pattern that can't
// is a mistake, and in a deny rule a hole. It follows the grammar of
// distribution/reference, whose regular expressions would take most of the time
// of parsing a large policy.
func checkComponents(s string, components []string) error {
	path := 0
	for i, c := range components {
		switch {
		case c == "":
			return fmt.Errorf("%s has an empty component", quote(s))
		case c == "**" && i > 0 && components[i-1] == "**":
			return fmt.Errorf("%s has ** twice in a row; write it once", quote(s))
		case c != "**" && strings.Contains(c, "**"):
			return fmt.Errorf("%s has ** inside a component; ** must be a whole component, use * inside one", quote(s))
		case i > 0 && strings.ToLower(c) != c:
			return upperCase(s)
		case c == "**" || (i == 0 && validHost(c)) || (i > 0 && validComponent(c)):
		default:
			return fmt.Errorf("%s matches no possible name, because of %s", quote(s), quote(c))
		}
		if i > 0 && c != "**" {
			path += 1 + len(c) - strings.Count(c, "*")
		}
	}
	if path > reference.RepositoryNameTotalLengthMax+1 {
		return fmt.Errorf("%s matches no possible name: a path has at most %d characters", quote(s), reference.RepositoryNameTotalLengthMax)
	}
	return nil
}

// validHost reports whether some normalised host matches c.
func validHost(c string) bool {
	if strings.HasPrefix(c, "[") {
		return true // normalizeHost has parsed the address
	}
	name, _, _ := strings.Cut(c, ":")
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

// validComponent reports whether some component of a path matches c: runs of
// letters, digits and stars between single separators.
func validComponent(c string) bool {
	for {
		rest := trimAlphanumeric(c)
		if rest == c {
			return false
		}
		if rest == "" {
			return true
		}
		c = strings.TrimLeft(rest, "._-")
		switch separator := rest[:len(rest)-len(c)]; {
		case separator == "." || separator == "_" || separator == "__":
		case separator != "" && strings.Trim(separator, "-") == "":
		default:
			return false
		}
	}
}

func upperCase(s string) error {
	return fmt.Errorf("%s has upper-case letters; names are in lower case", quote(s))
}
