package imageref

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// isAlphanumeric reports whether c can stand between the separators of a path
// component. A "*" can, as it may stand for a letter.
func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '*'
}

// trimAlphanumeric returns s without the alphanumeric characters at its beginning.
func trimAlphanumeric(s string) string {
	i := 0
	for i < len(s) && isAlphanumeric(s[i]) {
		i++
	}
	return s[i:]
}

// Pattern is a pattern of image names in canonical form. The zero Pattern matches
// nothing.
type Pattern struct {
	text       string
	components globs.Name
}

// ParsePattern reads a pattern of image names such as "docker/dockerfile" or
// "corp.example/**". It completes a pattern as [Parse] completes a name: without a
// host it is on docker.io, and a single component is in the directory library.
//
// ParsePattern refuses a pattern that matches no possible name, a tag, a digest, and
// more than [MaxSize] bytes.
func ParsePattern(s string) (Pattern, error) {
	if err := checkPattern(s); err != nil {
		return Pattern{}, err
	}
	components := strings.Split(s, "/")
	first := components[0]
	switch {
	case first == "**":
	case len(components) == 1 || !isHost(strings.ToLower(first)):
		if strings.Contains(first, "*") {
			return Pattern{},
				fmt.Errorf("%s leaves the host open; write docker.io/%s for docker.io, or **/%s for any host",
					safetext.Quote(s), safetext.Printable(s), safetext.Printable(strings.TrimPrefix(s, "*/")))
		}
		if strings.ToLower(first) != first {
			return Pattern{}, upperCase(s)
		}
		components = append([]string{dockerHost}, components...)
	default:
		host, err := patternHost(first)
		if err != nil {
			return Pattern{}, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
		components[0] = host
	}
	if components[0] == dockerHost && len(components) == 2 && components[1] != "**" {
		components = []string{dockerHost, strings.TrimSuffix(libraryPath, "/"), components[1]}
	}
	if err := checkComponents(s, components); err != nil {
		return Pattern{}, err
	}
	return Pattern{text: strings.Join(components, "/"), components: globs.NewName(components)}, nil
}

// String returns the pattern in canonical form.
func (p Pattern) String() string { return p.text }

// Familiar returns the pattern as Docker users write it, for example "docker/*".
func (p Pattern) Familiar() string { return familiarName(p.text) }

// IsOpen reports whether the pattern can match more than one name.
func (p Pattern) IsOpen() bool { return globs.Open(p.text) }

// Match reports whether the pattern matches the reference's name. To match one
// reference with many patterns, use [Pattern.Covers] and [Reference.Pattern].
func (p Pattern) Match(r Reference) bool { return p.Covers(r.Pattern()) }

// Covers reports whether the pattern matches every name that o matches.
func (p Pattern) Covers(o Pattern) bool {
	return p.components != nil && p.components.Covers(o.components)
}

// Pattern returns the pattern that matches the reference's name and no other.
func (r Reference) Pattern() Pattern {
	if r.host == "" {
		return Pattern{}
	}
	name := r.Name()
	return Pattern{text: name, components: strings.Split(name, "/")}
}

// checkPattern refuses the parts of a reference that a pattern can't have.
func checkPattern(s string) error {
	base := s[strings.LastIndexByte(s, '/')+1:]
	switch {
	case s == "":
		return errors.New("the pattern is empty; write one like docker/dockerfile or corp.example/**")
	case len(s) > MaxSize:
		return fmt.Errorf("the pattern has %d bytes, more than %d", len(s), MaxSize)
	case strings.Contains(s, "://"):
		return fmt.Errorf("%s has a scheme; write only the name after it", safetext.Quote(s))
	case strings.Contains(s, "@"):
		return fmt.Errorf("%s has a digest; a pattern is for names only, use digests: for it",
			safetext.Quote(s))
	case strings.Contains(base, ":"):
		return fmt.Errorf("%s has a tag; a pattern is for names only, use tags: for it",
			safetext.Quote(s))
	}
	for i, r := range s {
		if !isTagCharacter(r) && r != '/' && r != ':' && r != '*' && r != '[' && r != ']' {
			return fmt.Errorf(
				"%s has the character %s at position %d, which no name can have; a pattern knows only * and **",
				safetext.Quote(s), safetext.Quote(string(r)), i+1)
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
		// The port 443 is never part of a canonical name, so the pattern would miss it.
		return "", errors.New("a port can't have *; write one pattern for each port")
	}
	return normalizeHost(s)
}

// checkComponents makes sure that the pattern matches some name. One that can't is a
// mistake, and in a deny rule a hole. It follows the grammar of distribution/reference,
// whose regular expressions would take most of the time of parsing a large policy.
func checkComponents(s string, components []string) error {
	path := 0
	for i, c := range components {
		switch {
		case c == "":
			return fmt.Errorf("%s has an empty component", safetext.Quote(s))
		case c == "**" && i > 0 && components[i-1] == "**":
			return fmt.Errorf("%s has ** twice in a row; write it once", safetext.Quote(s))
		case c != "**" && strings.Contains(c, "**"):
			return fmt.Errorf("%s has ** inside a component; ** must be a whole component, use * inside one",
				safetext.Quote(s))
		case i > 0 && strings.ToLower(c) != c:
			return upperCase(s)
		case c == "**" || (i == 0 && validHost(c)) || (i > 0 && validComponent(c)):
		default:
			return fmt.Errorf("%s matches no possible name, because of %s", safetext.Quote(s),
				safetext.Quote(c))
		}
		if i > 0 && c != "**" {
			path += 1 + len(c) - strings.Count(c, "*")
		}
	}
	if path > reference.RepositoryNameTotalLengthMax+1 {
		return fmt.Errorf("%s matches no possible name: a path has at most %d characters",
			safetext.Quote(s), reference.RepositoryNameTotalLengthMax)
	}
	return nil
}

// validHost reports whether some canonical host matches c.
func validHost(c string) bool {
	if strings.HasPrefix(c, "[") {
		return true // normalizeHost has parsed the address.
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

// validComponent reports whether some path component matches c. A component has runs
// of letters and digits with single separators between them.
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
	return fmt.Errorf("%s has upper-case letters; names are in lower case", safetext.Quote(s))
}
