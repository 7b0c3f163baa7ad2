package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/policy-frontend/policy-frontend/internal/hostname"
)

// maxURL is the length in bytes of the longest URL that is read.
const maxURL = 8 << 10

// location is where a URL leads, in the one form in which URLs are compared: the
// scheme and the host in lower case, without the scheme's own port and the host's
// last dot; the path decoded. Names and passwords, and what follows a question
// mark, are no part of it: they may be secrets.
//
// What two programs could read in two ways is no location: see parseLocation.
type location struct {
	scheme, host string
	port         string   // "" for the scheme's own
	labels       []string // of the host; an address in brackets is one
	path         []string // at least one component; one that is empty stands for a slash at the end
	query        bool     // something follows a question mark
}

// parseLocation reads the URL of a git repository or a download. For git, .git and
// a slash at the end mean nothing, and user@host:path is ssh.
//
// It refuses what would let a URL look like one and lead to another: . and .. and
// empty components, a slash, dot, backslash or NUL that is encoded, whatever is
// encoded twice, backslashes, fragments, spellings of an IPv4 address that only
// some programs know, and more than one @. An error repeats nothing of the URL,
// which may hold a password.
func parseLocation(s string, k Kind) (location, error) {
	r := urlReader{kind: k}
	return r.read(s)
}

// urlReader reads URLs, or patterns for them.
type urlReader struct {
	kind Kind
	open bool // it is a pattern, and may have stars
}

func (r urlReader) read(s string) (location, error) {
	if err := checkURLText(s); err != nil {
		return location{}, err
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok && r.kind == KindGit && !r.open {
		scheme, rest, ok = scpURL(s)
	}
	if !ok {
		return location{}, errors.New("the URL has no scheme")
	}
	l := location{scheme: strings.ToLower(scheme)}
	own, ok := r.schemes()[l.scheme]
	if !ok {
		return location{}, errors.New("the URL has another scheme than " + r.schemeNames())
	}
	rest, _, l.query = strings.Cut(rest, "?")
	if l.query && (r.open || r.kind == KindGit) {
		return location{}, errors.New("the URL has a ?, and what follows it is no part of a path")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if user, host, ok := strings.Cut(authority, "@"); ok {
		if r.open || strings.Contains(host, "@") {
			return location{}, errors.New("the URL has an @ too many in front of its path")
		}
		_, authority = user, host
	}
	if err := l.readHost(authority, own, r.open); err != nil {
		return location{}, err
	}
	var err error
	l.path, err = r.components(path)
	return l, err
}

// schemes returns the schemes that the kind has, with their ports.
func (r urlReader) schemes() map[string]int {
	if r.kind == KindGit {
		return map[string]int{"https": 443, "http": 80, "ssh": 22, "git": 9418}
	}
	return map[string]int{"https": 443, "http": 80}
}

func (r urlReader) schemeNames() string {
	if r.kind == KindGit {
		return "https, http, ssh and git"
	}
	return "https and http"
}

// checkURLText refuses what has no place in any part of a URL.
func checkURLText(s string) error {
	switch {
	case s == "":
		return errors.New("the URL is empty")
	case len(s) > maxURL:
		return fmt.Errorf("the URL has %d bytes, more than %d", len(s), maxURL)
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

// scpURL reads the form user@host:path of git, which has no scheme.
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
func (l *location) readHost(s string, own int, open bool) error {
	name, port, err := hostname.SplitPort(strings.ToLower(s))
	if err != nil {
		return errors.New("the URL needs a port from 1 to 65535 after the colon")
	}
	if port != 0 && port != own {
		l.port = strconv.Itoa(port)
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		if l.host, err = hostname.NormalizeIPv6(address); err != nil || strings.Contains(l.host, "%") {
			return errors.New("the URL has a host in brackets that is no IPv6 address, or is an IPv4 one")
		}
		l.labels = []string{l.host}
		return nil
	}
	l.host = strings.TrimSuffix(name, ".")
	l.labels = strings.Split(l.host, ".")
	for _, label := range l.labels {
		if !validLabel(label, open) {
			return errors.New("the URL has a host that is none; one not in plain letters is written as xn--…")
		}
	}
	return checkAddress(l.host, l.labels[len(l.labels)-1])
}

// validLabel reports whether a part of a host's name can be one.
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

// checkAddress refuses 127.1, 0x7f.0.0.1 and the like, which some programs read as
// an IPv4 address: a host whose last part is a number has to be a plain one.
func checkAddress(host, last string) error {
	hex, isHex := strings.CutPrefix(last, "0x")
	if strings.Trim(last, "0123456789") != "" && (!isHex || strings.Trim(hex, "0123456789abcdef") != "") {
		return nil
	}
	if strings.Contains(host, "*") {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
		return errors.New("the URL has a host that ends in a number and is no plain IPv4 address")
	}
	return nil
}

// components decodes a path.
func (r urlReader) components(path string) ([]string, error) {
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
	if r.kind != KindGit {
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

// decode decodes one component of a path.
func (r urlReader) decode(s string) (string, error) {
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
			return "", errors.New("the URL has a % that begins no encoded character")
		}
		c, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if c < ' ' || c == 0x7f || strings.IndexByte(`/.\`, byte(c)) >= 0 || (r.open && c == '*') {
			return "", errors.New("the URL has an encoded slash, dot, backslash or control character in its path")
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
			return "", errors.New("the URL has an encoded % in its path that would begin another encoded character")
		}
	}
	return decoded, nil
}

// isEscape reports whether s begins with an encoded character.
func isEscape(s string) bool {
	return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// String returns the normalised URL, without what may be a secret.
func (l location) String() string {
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
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0
}
