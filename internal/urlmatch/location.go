// Package urlmatch reads the URLs of git repositories and downloads, and matches them
// with patterns, in one canonical form.
//
// In the canonical form, the scheme and the host are in lower case. The scheme's own
// port and the host's last dot are left out. The path is decoded. User, password and
// query are left out, because they may be secrets. No error repeats any of the URL.
//
// Programs read some paths in several ways, for example one with ".." or "%2F". Such a
// URL has several readings, see [Parse]. A URL is allowed if all of its readings are,
// and denied if one of them is.
package urlmatch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/policy-frontend/policy-frontend/internal/hostname"
)

// MaxSize is the length in bytes of the longest URL that [Parse] accepts.
const MaxSize = 8 << 10

// Protocol says which program follows a URL, and so how it reads one.
type Protocol int

// The protocols.
const (
	// HTTP is a download.
	HTTP Protocol = iota
	// Git is a git repository. A trailing slash and ".git" mean nothing, and
	// user@host:path is a URL with the scheme ssh.
	Git
)

// schemes returns the protocol's schemes, the safe ones first.
func (p Protocol) schemes() []string {
	if p == Git {
		return []string{"https", "ssh", "http", "git"}
	}
	return []string{"https", "http"}
}

// safe returns the schemes that protect what is read from the network on its path.
func (p Protocol) safe() []string {
	return slices.DeleteFunc(p.schemes(), func(s string) bool { return s == "http" || s == "git" })
}

// ownPort returns the port of a URL without one.
func ownPort(scheme string) int {
	return map[string]int{"https": 443, "http": 80, "ssh": 22, "git": 9418}[scheme]
}

// Location is a place that a URL leads to, in canonical form.
type Location struct {
	scheme, host string
	port         int
	labels       []string // of the host; an address in brackets is one
	path         []string // at least one component; one that is empty stands for a slash at the end
}

// URL is a URL with all of its readings.
type URL struct {
	readings []Location // at least one; the first takes the path as it is written
	query    bool
}

// Readings returns the places that the URL leads to, as different programs read it.
func (u URL) Readings() []Location { return u.readings }

// HasQuery reports whether the URL has a query. It isn't part of a reading.
func (u URL) HasQuery() bool { return u.query }

// String returns the URL in canonical form, without user, password and query. Its path
// is as it is written.
func (u URL) String() string {
	if len(u.readings) == 0 {
		return ""
	}
	return u.readings[0].String()
}

// Parse reads the URL of a git repository or a download.
//
// A path has several readings if it has a component that is empty, "." or "..", or that
// ends in a dot or a space. So it has if it has an encoded slash, backslash, question mark or
// number sign, something that is encoded twice, or a parameter (";"). Each program may
// decode, split, cut and clean such a path, or not. The path of a git repository has several
// too if it ends in ".git" in other letters, or in a component ".git".
//
// Parse refuses URLs with an ambiguous host: those with a backslash, more than one "@",
// an encoded character in the host, or a spelling of an IPv4 address that only some
// programs know. It also refuses control characters, a fragment, and paths with more
// than 32 readings.
func Parse(s string, p Protocol) (URL, error) {
	if err := checkText(s); err != nil {
		return URL{}, err
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok && p == Git {
		scheme, rest, ok = scpURL(s)
	}
	if !ok {
		return URL{}, errors.New("the URL has no scheme")
	}
	l := Location{scheme: strings.ToLower(scheme)}
	if !slices.Contains(p.schemes(), l.scheme) {
		return URL{}, p.errScheme()
	}
	var u URL
	rest, _, u.query = strings.Cut(rest, "?")
	if u.query && p == Git {
		return URL{}, errQuery
	}
	authority, path, _ := strings.Cut(rest, "/")
	if user, host, ok := strings.Cut(authority, "@"); ok {
		if strings.Contains(host, "@") {
			return URL{}, errAt
		}
		_, authority = user, host
	}
	if err := l.readHost(authority); err != nil {
		return URL{}, err
	}
	paths, err := p.readings(path)
	for _, l.path = range paths {
		u.readings = append(u.readings, l)
	}
	return u, err
}

var (
	errQuery = errors.New(
		"the URL has a query (?); a pattern or a git repository can't have one")
	errAt      = errors.New("the URL has an unexpected @ before its path")
	errPort    = errors.New("the URL needs a port from 1 to 65535 after the colon")
	errHost    = errors.New("the URL's host isn't valid; write one with other letters as xn--…")
	errAddress = errors.New("the URL's host in brackets isn't an IPv6 address")
)

func (p Protocol) errScheme() error {
	if p == Git {
		return errors.New("the URL's scheme must be one of https, http, ssh and git")
	}
	return errors.New("the URL's scheme must be one of https and http")
}

// checkText refuses characters that no part of a URL may have.
func checkText(s string) error {
	switch {
	case s == "":
		return errors.New("the URL is empty")
	case len(s) > MaxSize:
		return fmt.Errorf("the URL has %d bytes, more than %d", len(s), MaxSize)
	case !utf8.ValidString(s):
		return errors.New("the URL is not UTF-8")
	case strings.Contains(s, "#"):
		return errors.New("the URL has a fragment (#)")
	case strings.Contains(s, `\`):
		return errors.New("the URL has a backslash")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return errors.New("the URL has a space or a control character")
		}
	}
	return nil
}

// scpURL reads git's form user@host:path, which has no scheme. Its path isn't decoded.
func scpURL(s string) (scheme, rest string, ok bool) {
	from := 0
	if address := strings.Index(s, "["); address >= 0 && address <= strings.Index(s, "@")+1 {
		from = max(strings.Index(s, "]"), 0)
	}
	host, path, ok := strings.Cut(s[from:], ":")
	if !ok || strings.Contains(host, "/") {
		return "", "", false
	}
	path = strings.ReplaceAll(strings.TrimPrefix(path, "/"), "%", "%25")
	return "ssh", s[:from] + host + "/" + path, true
}

// readHost reads a host with its port.
func (l *Location) readHost(s string) error {
	name, port, err := hostname.SplitPort(strings.ToLower(s))
	if err != nil {
		return errPort
	}
	l.port = port
	if port == 0 {
		l.port = ownPort(l.scheme)
	}
	if l.host, l.labels, err = readName(name, false); err != nil {
		return err
	}
	return checkAddress(l.host)
}

// readName reads a host in lower case, without its port. It may have stars if it is open.
func readName(name string, open bool) (host string, labels []string, err error) {
	if address, ok := strings.CutPrefix(name, "["); ok {
		if host, err = hostname.NormalizeIPv6(address); err != nil || strings.Contains(host, "%") {
			return "", nil, errAddress
		}
		return host, []string{host}, nil
	}
	host = strings.TrimSuffix(name, ".")
	labels = strings.Split(host, ".")
	for _, label := range labels {
		if !validLabel(label, open) {
			return "", nil, errHost
		}
	}
	return host, labels, nil
}

// isIPv6 reports whether a host is an IPv6 address.
func isIPv6(host string) bool { return strings.HasPrefix(host, "[") }

// isIPv4 reports whether a host is an IPv4 address.
func isIPv4(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4()
}

// validLabel reports whether s can be one label of a host name.
func validLabel(s string, open bool) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && (c != '*' || !open) {
			return false
		}
	}
	return !strings.Contains(s, "**") || s == "**"
}

// checkAddress refuses a host that only some programs read as an IPv4 address.
func checkAddress(host string) error {
	if hostname.IsAmbiguousIPv4(host) {
		return errors.New("the URL's host ends in a number and isn't a plain IPv4 address")
	}
	return nil
}

// String returns the place as a URL, without user, password and query.
func (l Location) String() string {
	var b strings.Builder
	b.WriteString(l.scheme + "://" + l.host)
	if l.port != ownPort(l.scheme) {
		b.WriteString(":" + strconv.Itoa(l.port))
	}
	writePath(&b, l.path)
	return b.String()
}

// writePath writes the components of a path, each encoded.
func writePath(b *strings.Builder, components []string) {
	for _, c := range components {
		b.WriteByte('/')
		for i := range len(c) {
			if isPlain(c[i]) {
				b.WriteByte(c[i])
			} else {
				fmt.Fprintf(b, "%%%02X", c[i])
			}
		}
	}
}

// isPlain reports whether a path can hold c without encoding it (RFC 3986, pchar).
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
}
