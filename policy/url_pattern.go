package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// urlPattern is a compiled pattern for URLs: that of a location with stars.
type urlPattern struct {
	written    string
	location   location
	components []string // a "**" at the end is held as "*", "**": at least one component
}

// parseURLPattern reads a pattern such as https://git.corp.example/**. A * stands
// for any characters within one part of the host or one component of the path; a
// ** is a whole one and stands for any number of them, at the end of a path for at
// least one. The scheme and the port have no stars.
func parseURLPattern(s string, k Kind) (urlPattern, error) {
	r := urlReader{kind: k, open: true}
	if len(s) > imageref.MaxSize {
		return urlPattern{}, fmt.Errorf("the pattern has %d bytes, more than %d", len(s), imageref.MaxSize)
	}
	if !strings.Contains(s, "://") {
		return urlPattern{}, fmt.Errorf("%s has no scheme; write one like https://corp.example/**, and one more for each other scheme", safetext.Quote(s))
	}
	l, err := r.read(s)
	if err != nil {
		return urlPattern{}, fmt.Errorf("%s can't be a pattern: %w", safetext.Quote(s), err)
	}
	for _, parts := range [][]string{l.labels, l.path} {
		if err := checkStars(parts); err != nil {
			return urlPattern{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
		}
	}
	p := urlPattern{written: s, location: l, components: l.path}
	if last := len(l.path) - 1; l.path[last] == "**" {
		p.components = append(l.path[:last:last], "*", "**")
	}
	return p, nil
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

// match reports whether the location is one of the pattern's.
func (p urlPattern) match(l location) bool {
	return p.location.scheme == l.scheme && p.location.port == l.port &&
		globs.Name(p.location.labels).Match(l.labels) && globs.Name(p.components).Match(l.path)
}

// matchURL returns the first of the patterns that the location matches, or nil.
func matchURL(patterns []urlPattern, l location) *urlPattern {
	if i := slices.IndexFunc(patterns, func(p urlPattern) bool { return p.match(l) }); i >= 0 {
		return &patterns[i]
	}
	return nil
}

// matchDenied is matchURL for what is denied: a server may take a slash at the end
// for nothing.
func matchDenied(patterns []urlPattern, l location) *urlPattern {
	if p := matchURL(patterns, l); p != nil {
		return p
	}
	if last := len(l.path) - 1; last > 0 && l.path[last] == "" {
		l.path = l.path[:last]
		return matchURL(patterns, l)
	}
	return nil
}
