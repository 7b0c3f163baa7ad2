package urlmatch

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxPattern is the length in bytes of the longest pattern.
const maxPattern = 1024

// Pattern is a pattern of URLs. The zero Pattern matches nothing.
type Pattern struct {
	written  string
	location Location // with stars
	path     globs.Name
}

// ParsePattern reads a pattern such as "https://git.corp.example/**".
//
// In a path, "*" stands for any characters within one component, and "**" is a whole
// component and stands for any number of them. At the end of a path, "**" stands for
// at least one. In a host, the same holds for labels. Scheme and port have no stars.
// Errors quote the pattern, bounded and safe for a terminal.
func ParsePattern(s string, protocol Protocol) (Pattern, error) {
	r := reader{protocol: protocol, open: true}
	if len(s) > maxPattern {
		return Pattern{}, fmt.Errorf("the pattern has %d bytes, more than %d", len(s), maxPattern)
	}
	if !strings.Contains(s, "://") {
		return Pattern{},
			fmt.Errorf(
				"%s has no scheme; write one like https://corp.example/**, and one more for each other scheme",
				safetext.Quote(s))
	}
	l, err := r.read(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("%s can't be a pattern: %w", safetext.Quote(s), err)
	}
	for _, parts := range [][]string{l.labels, l.path} {
		if err := checkStars(parts); err != nil {
			return Pattern{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
		}
	}
	return Pattern{written: s, location: l, path: globs.NewName(l.path)}, nil
}

// Written returns the pattern as it was written.
func (p Pattern) Written() string { return p.written }

// String returns the pattern in canonical form: the host in lower case, no default port,
// and for [Git] no ".git" at the end.
func (p Pattern) String() string {
	// ParsePattern refuses an encoded star, so each star of the pattern was a plain one.
	return strings.ReplaceAll(p.location.String(), "%2A", "*")
}

func checkStars(parts []string) error {
	for i, part := range parts {
		if part == "**" {
			if i > 0 && parts[i-1] == "**" {
				return errors.New("has ** twice in a row; write it once")
			}
		} else if strings.Contains(part, "**") {
			return errors.New("has ** inside a component; ** must be a whole component, use * inside one")
		}
	}
	return nil
}

// Match reports whether the pattern matches the location.
func (p Pattern) Match(l Location) bool {
	return p.path != nil && p.location.scheme == l.scheme && p.location.port == l.port &&
		globs.Name(p.location.labels).Match(l.labels) && p.path.Match(l.path)
}

// First returns the first of the patterns that matches the location, or nil.
func First(patterns []Pattern, l Location) *Pattern {
	if i := slices.IndexFunc(patterns, func(p Pattern) bool { return p.Match(l) }); i >= 0 {
		return &patterns[i]
	}
	return nil
}

// FirstDenied is [First] for patterns that deny. It also tries the location without a
// trailing slash, because a server may ignore it.
func FirstDenied(patterns []Pattern, l Location) *Pattern {
	if p := First(patterns, l); p != nil {
		return p
	}
	if last := len(l.path) - 1; last > 0 && l.path[last] == "" {
		l.path = l.path[:last]
		return First(patterns, l)
	}
	return nil
}
