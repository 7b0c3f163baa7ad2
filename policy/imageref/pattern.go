package imageref

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/hostname"
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
	meaning    string
	components globs.Name
}

// ParsePattern reads a pattern of image names that are allowed, such as
// "docker/dockerfile" or "corp.example/**". It means the least that its words can mean.
// ParsePattern completes a pattern as [Parse] completes a name: without a host it is on
// docker.io, and a single component is in the directory library.
//
// ParsePattern refuses a pattern that matches no possible name, one that can be
// understood in two ways, such as a host without a path, a tag, a digest, and more than
// [MaxSize] bytes.
func ParsePattern(s string) (Pattern, error) {
	components, err := parseComponents(s)
	if err != nil {
		return Pattern{}, err
	}
	if name, _ := globs.SplitPort(components[0]); strings.ContainsAny(name, "0123456789") &&
		strings.Contains(name, "*") && strings.Trim(name, "0123456789.*") == "" &&
		!globs.IsIPv4(name) {
		return Pattern{}, fmt.Errorf("%s has a host of numbers, and an address has four of them; "+
			"write one like 10.*.*.*", safetext.Quote(s))
	}
	p := newPattern(official(components))
	p.meaning = meaning(s, p.text)
	return p, nil
}

// newPattern returns the pattern with these components, which it may change.
func newPattern(components []string) Pattern {
	text := strings.Join(components, "/")
	return Pattern{text: text, meaning: text, components: globs.NewImage(components)}
}

// onHub reports whether the host of a pattern is docker.io, perhaps with any port.
func onHub(host string) bool {
	name, port := globs.SplitPort(host)
	return name == dockerHost && (port == "" || port == "*")
}

// isOfficial reports whether the components are those of an official image, or of
// several, without the directory library.
func isOfficial(components []string) bool {
	return onHub(components[0]) && len(components) == 2 && components[1] != "**"
}

// official adds the directory library to the components of an official image.
func official(components []string) []string {
	if isOfficial(components) {
		return []string{components[0], libraryDirectory, components[1]}
	}
	return components
}

// parseComponents checks a pattern, and completes and normalises its host.
func parseComponents(s string) ([]string, error) {
	if err := checkPattern(s); err != nil {
		return nil, err
	}
	components := strings.Split(s, "/")
	first := components[0]
	switch {
	case first == "**":
	case len(components) == 1 || !isHost(strings.ToLower(first)):
		if strings.Contains(first, "*") {
			return nil,
				fmt.Errorf("%s leaves the host open; write docker.io/%s for docker.io, or **/%s for any host",
					safetext.Quote(s), safetext.Printable(s), safetext.Printable(strings.TrimPrefix(s, "*/")))
		}
		if strings.ToLower(first) != first {
			return nil, upperCase(s)
		}
		components = append([]string{dockerHost}, components...)
	default:
		host, err := patternHost(first)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
		components[0] = host
	}
	if isOfficial(components) {
		switch name := components[1]; {
		case strings.Trim(name, "*") == "":
			return nil, fmt.Errorf("%s can mean two things; write docker.io/library/* for the official "+
				"images, or docker.io/** for all of docker.io", safetext.Quote(s))
		case looksLikeHost(name):
			return nil, registryAlone(name)
		}
	}
	return components, checkComponents(s, components)
}

// looksLikeHost reports whether a name of one component was probably meant to be a
// registry.
func looksLikeHost(s string) bool {
	name, _, err := hostname.SplitPort(strings.ToLower(s))
	return strings.HasPrefix(s, "[") ||
		err == nil && (name == localhost || strings.Contains(name, "."))
}

// registryAlone is the error for a registry without a path.
func registryAlone(s string) error {
	if strings.ContainsAny(s, ":[") {
		return fmt.Errorf("%s is a registry; write %s/** for all that it has", safetext.Quote(s),
			safetext.Printable(s))
	}
	return fmt.Errorf("%s is a registry; write %s/** for all that it has, or docker.io/library/%s "+
		"for an official image", safetext.Quote(s), safetext.Printable(s), safetext.Printable(s))
}

// String returns the pattern in canonical form.
func (p Pattern) String() string { return p.text }

// Familiar returns the pattern as Docker users write it, for example "docker/*".
func (p Pattern) Familiar() string { return familiarName(p.text) }

// Meaning returns the pattern that was written, for a person: in canonical form if its words
// could be misunderstood, such as docker.io/library/golang for docker.io/golang, and in
// familiar form otherwise.
func (p Pattern) Meaning() string { return p.meaning }

// Meanings returns the meanings of the patterns, each once: what is written for a denied name
// becomes several patterns.
func Meanings[P interface{ Meaning() string }](patterns []P) []string {
	var out []string
	for _, p := range patterns {
		if !slices.Contains(out, p.Meaning()) {
			out = append(out, p.Meaning())
		}
	}
	return out
}

// meaning returns the [Pattern.Meaning] of a pattern that was written as s.
func meaning(s, text string) string {
	familiar := familiarName(text)
	if familiar == s ||
		strings.Contains(familiar, "/") && !strings.HasPrefix(familiar, libraryDirectory+"/") {
		return familiar
	}
	return text
}

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
	return newPattern(strings.Split(r.Name(), "/"))
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
		return partError{fmt.Sprintf("%s has a digest, and a pattern is for names only; write %s",
			safetext.Quote(s), safetext.Printable(s[:strings.Index(s, "@")])), "digests"}
	case base == s && looksLikeHost(s):
		return registryAlone(s)
	case strings.Contains(base, ":"):
		return partError{fmt.Sprintf("%s has a tag, and a pattern is for names only; write %s",
			safetext.Quote(s), safetext.Printable(s[:strings.LastIndex(s, ":")])), "tags"}
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

// partError is the error for a pattern with a part of a reference that isn't the name.
type partError struct {
	message string
	field   string // of a rule, for that part
}

func (e partError) Error() string { return e.message }

// FieldFor returns the field of a rule that is for what [ParsePattern] refuses: "tags" or
// "digests". It returns "" for other errors.
func FieldFor(err error) string {
	var part partError
	if errors.As(err, &part) {
		return part.field
	}
	return ""
}

// patternHost returns the host of a pattern in its canonical form.
func patternHost(s string) (string, error) {
	name, port := globs.SplitPort(s)
	if strings.HasPrefix(s, "[") && strings.Contains(name, "*") {
		return "", errors.New("an IPv6 host can't have *")
	}
	for label := range strings.SplitSeq(name, ".") {
		if strings.Contains(label, "**") && label != "**" {
			return "", errors.New("in a host, ** must be a whole label; inside one use *")
		}
	}
	if port == "*" {
		host, err := normalizeHost(name)
		return host + ":*", err
	}
	if strings.Contains(port, "*") {
		return "", errors.New("a port is a number, or * for any port")
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
		case i > 0 && c != "**" && strings.Contains(c, "**"):
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
