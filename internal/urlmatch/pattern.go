package urlmatch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/hostname"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxPattern is the length in bytes of the longest pattern.
const maxPattern = 1024

// Purpose says what a pattern is for. What it leaves open is read so that it refuses more.
type Purpose int

// The purposes.
const (
	// Allow is for a pattern of what is allowed. It means the least that its words can mean.
	Allow Purpose = iota
	// Deny is for a pattern of what is denied. It means the most that its words can mean.
	Deny
)

// Pattern is a pattern of URLs. The zero Pattern matches nothing.
type Pattern struct {
	written  string
	protocol Protocol
	purpose  Purpose
	read     parts
	forms    []Form
	meanings []string
}

// parts are those of a pattern as it was written, each in canonical form.
type parts struct {
	everything bool   // "**" alone
	scheme     string // or ""
	host       string
	labels     []string
	port       string   // a number, "*" or ""
	path       []string // nil for the whole host
	empty      bool     // the path was written, and it is empty
}

// ParsePattern reads a pattern such as "https://git.corp.example/**".
//
// In a path, "*" stands for any characters within one component, and "**" is a whole
// component and stands for any number of them. At the end of a path, "**" stands for
// at least one. In a host, the same holds for labels. A pattern without a path is for the
// whole host, and "**" alone is for every URL. A port can be "*", for any. A user in an
// ssh URL means nothing, and user@host:path is ssh.
//
// A pattern of what is allowed can't have an empty path, as in "https://x.example/". It is for
// the scheme's own port unless it names one. Without
// a scheme, it is for https and ssh. A host of numbers and stars is for IPv4 addresses.
//
// A pattern of what is denied is for any port unless it names one, and for each scheme
// unless it names one. It denies everything below its path too, in any case of ASCII
// letters, because many servers ignore it. A "*" in its host can stand for several labels.
//
// Errors quote the pattern, bounded and safe for a terminal.
func ParsePattern(s string, protocol Protocol, purpose Purpose) (Pattern, error) {
	if len(s) > maxPattern {
		return Pattern{}, fmt.Errorf("the pattern has %d bytes, more than %d", len(s), maxPattern)
	}
	w, err := protocol.readPattern(s)
	if err != nil {
		return Pattern{}, fmt.Errorf("%s can't be a pattern: %w", safetext.Quote(s), err)
	}
	p := Pattern{written: s, protocol: protocol, purpose: purpose, read: w}
	if p.forms, err = w.compile(protocol, purpose); err != nil {
		return Pattern{}, fmt.Errorf("%s can't be a pattern: %w", safetext.Quote(s), err)
	}
	p.meanings = p.meant()
	return p, nil
}

// readPattern reads a pattern.
func (p Protocol) readPattern(s string) (w parts, err error) {
	if s == "**" {
		return parts{everything: true}, nil
	}
	if err := checkText(s); err != nil {
		return w, err
	}
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case ok:
		w.scheme = strings.ToLower(scheme)
		if !slices.Contains(p.schemes(), w.scheme) {
			return w, fmt.Errorf("%w; a pattern can leave it out", p.errScheme())
		}
	case p == Git && isSCP(s):
		w.scheme, rest, _ = scpURL(s)
	default:
		rest = s
	}
	if strings.Contains(rest, "?") {
		return w, errQuery
	}
	authority, path, _ := strings.Cut(rest, "/")
	if user, host, ok := strings.Cut(authority, "@"); ok {
		if w.scheme != "ssh" || strings.ContainsAny(user, ":*") || strings.Contains(host, "@") {
			return w, errAt
		}
		authority = host
	}
	if isRange(authority, path) {
		return w, errors.New(
			"a pattern has no ranges of addresses; put stars in their place, as in 10.*.*.*")
	}
	if err := w.readHost(strings.ToLower(authority)); err != nil {
		return w, err
	}
	w.empty = strings.Contains(rest, "/") && path == ""
	return w, w.readPath(path, p)
}

// isSCP reports whether a pattern without a scheme is in the form user@host:path. What
// could be a port is one.
func isSCP(s string) bool {
	authority, _, _ := strings.Cut(s, "/")
	if strings.Contains(authority, "@") {
		return strings.Contains(authority, ":")
	}
	i := strings.LastIndexByte(authority, ':')
	return i >= 0 && !strings.HasSuffix(authority, "]") &&
		strings.Trim(authority[i+1:], "0123456789*") != ""
}

// isRange reports whether a pattern is meant as a range of addresses, such as 10.0.0.0/8.
func isRange(host, path string) bool {
	bits, _, _ := strings.Cut(path, "/")
	n, err := strconv.Atoi(bits)
	if err != nil || n < 0 {
		return false
	}
	if strings.Count(host, ":") > 1 {
		return n <= 128
	}
	name, _, _ := strings.Cut(host, ":")
	return n <= 32 && strings.Count(name, ".") == 3 && isNumeric(strings.Split(name, "."))
}

// isNumeric reports whether labels are numbers and stars only, with a number among them.
func isNumeric(labels []string) bool {
	text := strings.Join(labels, "")
	return strings.Trim(text, "0123456789*") == "" && strings.Trim(text, "*") != ""
}

// readHost reads a host in lower case with its port.
func (w *parts) readHost(s string) (err error) {
	name, anyPort := strings.CutSuffix(s, ":*")
	if anyPort {
		w.port = "*"
	} else {
		var port int
		if name, port, err = hostname.SplitPort(s); err != nil {
			return errPort
		}
		if port != 0 {
			w.port = strconv.Itoa(port)
		}
	}
	if w.host, w.labels, err = readName(name, true); err != nil {
		return err
	}
	if !strings.Contains(w.host, "*") {
		return checkAddress(w.host)
	}
	return checkStars(w.labels)
}

// readPath reads a path.
func (w *parts) readPath(path string, p Protocol) error {
	if path == "" {
		return nil
	}
	if strings.Contains(strings.ToLower(path), "%2a") {
		return errors.New("the URL has an encoded star in its path")
	}
	paths, err := p.readings(path)
	if err != nil {
		return err
	}
	w.path = paths[0]
	if _, isGit := cutGit(w.path[len(w.path)-1]); p == Git && isGit {
		return errors.New(
			"only some servers leave out .git as its end has it; write the repository without it")
	}
	if isUnclear(w.path) {
		return errors.New(
			"programs read its path in several ways; write the path that a server reads in the end")
	}
	if len(w.path) == 1 && w.path[0] == "**" {
		w.path = nil
	}
	return checkStars(w.path)
}

// isUnclear reports whether programs read a path in several ways even if they keep its
// parameters.
func isUnclear(path []string) bool {
	return slices.ContainsFunc(path[:len(path)-1], func(c string) bool { return c == "" }) ||
		slices.ContainsFunc(path, func(c string) bool {
			name, _, _ := strings.Cut(c, ";")
			decoded, err := decode(c, false)
			return name == "." || name == ".." || strings.ContainsAny(c, `/\?#`) || err != nil ||
				decoded != c || withoutTail(c) != c
		})
}

func checkStars(parts []string) error {
	for i, part := range parts {
		if part == "**" {
			if i > 0 && parts[i-1] == "**" {
				return errors.New("it has ** twice in a row; write it once")
			}
		} else if strings.Contains(part, "**") {
			return errors.New(
				"it has ** inside a component; ** must be a whole component, use * inside one")
		}
	}
	return nil
}

// Written returns the pattern as it was written.
func (p Pattern) Written() string { return p.written }

// OtherSchemes returns the schemes that the pattern isn't for because it names one.
func (p Pattern) OtherSchemes() []string {
	if p.read.scheme == "" {
		return nil
	}
	return slices.DeleteFunc(p.protocol.schemes(), func(s string) bool { return s == p.read.scheme })
}

// Forms returns forms that together match what the pattern matches.
func (p Pattern) Forms() []Form { return p.forms }

// Match reports whether the pattern matches the place.
func (p Pattern) Match(l Location) bool {
	return slices.ContainsFunc(p.forms, func(f Form) bool { return f.Match(l) })
}

// Denied returns the first of the patterns that matches a reading of the URL, and that
// reading. It is false if there is none.
func Denied(patterns []Pattern, u URL) (*Pattern, Location, bool) {
	for i := range patterns {
		if at := slices.IndexFunc(u.readings, patterns[i].Match); at >= 0 {
			return &patterns[i], u.readings[at], true
		}
	}
	return nil, Location{}, false
}

// Outside returns the first reading of the URL that none of the patterns matches. It is
// false if there is none.
func Outside(patterns []Pattern, u URL) (Location, bool) {
	for _, l := range u.readings {
		if !slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Match(l) }) {
			return l, true
		}
	}
	return Location{}, false
}
