// Package urlmatch reads the URLs of git repositories and downloads, and matches them
// with patterns, in one canonical form.
//
// In the canonical form, the scheme and the host are in lower case. The scheme's own
// port and the host's last dot are left out. The path is decoded. User, password and
// query are left out, because they may be secrets. No error repeats any of the URL.
//
// A URL that two programs could read in two ways is an error, see [Parse].
package urlmatch

import (
	"errors"
	"fmt"
	"net/netip"
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

// Location is the place that a URL leads to, in canonical form.
type Location struct {
	scheme, host string
	port         string   // "" for the scheme's own
	labels       []string // of the host; an address in brackets is one
	path         []string // at least one component; one that is empty stands for a slash at the end
	query        bool     // a query follows the path
}

// Parse reads the URL of a git repository or a download.
//
// It refuses URLs that look as if they led to one place and lead to another: those
// with a component that is empty, "." or "..", an encoded slash, dot, backslash or
// control character, double encoding, a backslash, a fragment, more than one "@", or
// a spelling of an IPv4 address that only some programs know.
func Parse(s string, p Protocol) (Location, error) {
	r := reader{protocol: p}
	return r.read(s)
}

// HasQuery reports whether the URL has a query. It isn't part of String.
func (l Location) HasQuery() bool { return l.query }

// reader reads URLs or patterns of URLs.
type reader struct {
	protocol Protocol
	open     bool // reads a pattern, which may have stars
}

func (r reader) read(s string) (Location, error) {
	if err := checkText(s); err != nil {
		return Location{}, err
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok && r.protocol == Git && !r.open {
		scheme, rest, ok = scpURL(s)
	}
	if !ok {
		return Location{}, errors.New("the URL has no scheme")
	}
	l := Location{scheme: strings.ToLower(scheme)}
	own, ok := r.schemes()[l.scheme]
	if !ok {
		return Location{}, errors.New("the URL's scheme must be one of " + r.schemeNames())
	}
	rest, _, l.query = strings.Cut(rest, "?")
	if l.query && (r.open || r.protocol == Git) {
		return Location{},
			errors.New("the URL has a query (?); a pattern or a git repository can't have one")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if user, host, ok := strings.Cut(authority, "@"); ok {
		if r.open || strings.Contains(host, "@") {
			return Location{}, errors.New("the URL has an unexpected @ before its path")
		}
		_, authority = user, host
	}
	if err := l.readHost(authority, own, r.open); err != nil {
		return Location{}, err
	}
	var err error
	l.path, err = r.components(path)
	return l, err
}

// schemes returns the schemes of the protocol with their default ports.
func (r reader) schemes() map[string]int {
	if r.protocol == Git {
		return map[string]int{"https": 443, "http": 80, "ssh": 22, "git": 9418}
	}
	return map[string]int{"https": 443, "http": 80}
}

func (r reader) schemeNames() string {
	if r.protocol == Git {
		return "https, http, ssh and git"
	}
	return "https and http"
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

// scpURL reads git's form user@host:path, which has no scheme.
func scpURL(s string) (scheme, rest string, ok bool) {
	from := 0
	if address := strings.Index(s, "["); address >= 0 && address <= strings.Index(s, "@")+1 {
		from = max(strings.Index(s, "]"), 0)
	}
	host, path, ok := strings.Cut(s[from:], ":")
	if !ok || strings.Contains(host, "/") {
		return "", "", false
	}
	return "ssh", s[:from] + host + "/" + strings.TrimPrefix(path, "/"), true
}

// readHost reads a host with its port.
func (l *Location) readHost(s string, own int, open bool) error {
	name, port, err := hostname.SplitPort(strings.ToLower(s))
	if err != nil {
		return errors.New("the URL needs a port from 1 to 65535 after the colon")
	}
	if port != 0 && port != own {
		l.port = strconv.Itoa(port)
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		if l.host, err = hostname.NormalizeIPv6(address); err != nil || strings.Contains(l.host, "%") {
			return errors.New("the URL's host in brackets isn't an IPv6 address")
		}
		l.labels = []string{l.host}
		return nil
	}
	l.host = strings.TrimSuffix(name, ".")
	l.labels = strings.Split(l.host, ".")
	for _, label := range l.labels {
		if !validLabel(label, open) {
			return errors.New("the URL's host isn't valid; write one with other letters as xn--…")
		}
	}
	return checkAddress(l.host, l.labels[len(l.labels)-1])
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

// checkAddress refuses 127.1, 0x7f.0.0.1 and the like, which only some programs read
// as an IPv4 address. A host whose last label is a number must be a plain address.
func checkAddress(host, last string) error {
	hex, isHex := strings.CutPrefix(last, "0x")
	if strings.Trim(last, "0123456789") != "" &&
		(!isHex || strings.Trim(hex, "0123456789abcdef") != "") {
		return nil
	}
	if strings.Contains(host, "*") {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
		return errors.New("the URL's host ends in a number and isn't a plain IPv4 address")
	}
	return nil
}

// components decodes a path and splits it.
func (r reader) components(path string) ([]string, error) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		if part == "" && !last {
			return nil, errors.New("the URL has an empty component in its path (//)")
		}
		decoded, err := r.decode(part)
		if err != nil {
			return nil, err
		}
		if base, _, _ := strings.Cut(decoded, ";"); base == "." || base == ".." {
			return nil, errors.New("the URL has . or .. as a component of its path")
		}
		parts[i] = decoded
	}
	if r.protocol != Git {
		return parts, nil
	}
	if last := len(parts) - 1; last > 0 && parts[last] == "" {
		parts = parts[:last]
	}
	name := &parts[len(parts)-1]
	if base, ok := strings.CutSuffix(*name, ".git"); ok && base != "" {
		if strings.HasSuffix(base, ".git") {
			return nil, errors.New("the URL ends in .git more than once")
		}
		*name = base
	}
	return parts, nil
}

// decode decodes one path component.
func (r reader) decode(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if !isEscape(s[i:]) {
			return "", errors.New("the URL has a % without two hexadecimal digits after it")
		}
		c, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if c < ' ' || c == 0x7f || strings.IndexByte(`/.\`, byte(c)) >= 0 || (r.open && c == '*') {
			return "",
				errors.New("the URL has an encoded slash, dot, backslash or control character in its path")
		}
		b.WriteByte(byte(c))
		i += 2
	}
	decoded := b.String()
	if !utf8.ValidString(decoded) {
		return "", errors.New("the URL's path is not UTF-8 when it is decoded")
	}
	for i := range len(decoded) {
		if isEscape(decoded[i:]) {
			return "", errors.New("the URL has a character in its path that is encoded twice")
		}
	}
	return decoded, nil
}

// isEscape reports whether s begins with an encoded byte.
func isEscape(s string) bool {
	return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// String returns the URL in canonical form, without user, password and query.
func (l Location) String() string {
	var b strings.Builder
	b.WriteString(l.scheme + "://" + l.host)
	if l.port != "" {
		b.WriteString(":" + l.port)
	}
	for _, c := range l.path {
		b.WriteByte('/')
		for i := range len(c) {
			if isPlain(c[i]) {
				b.WriteByte(c[i])
			} else {
				fmt.Fprintf(&b, "%%%02X", c[i])
			}
		}
	}
	return b.String()
}

// isPlain reports whether a path can hold c without encoding it (RFC 3986, pchar).
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
}
