package clients

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// MaxSize is the length in bytes of the longest pattern, and of the longest URI (SPIFFE-ID, section
// 2.3).
const MaxSize = 2048

// kind is the kind of a name.
type kind string

const (
	kindUser   kind = "uid"
	kindGroup  kind = "gid"
	kindCommon kind = "cn"
	kindDNS    kind = "dns"
	kindURI    kind = "://"
)

// name is a name of a client, or a pattern of such names. Only names of one kind are compared.
type name struct {
	kind kind
	// parts begin with the kind, or with the scheme of a URI. So none of them looks like the host of
	// an image (globs.ParseImage).
	parts globs.Name
	text  string
}

// Pattern is a pattern of clients. The zero Pattern matches nobody.
type Pattern struct{ name }

// ParsePattern reads a pattern, such as "uid:1000" or "spiffe://corp.example/ci/*". It refuses one
// of an unknown kind, one that no client can match, and more than [MaxSize] bytes. The error names
// the pattern.
func ParsePattern(s string) (Pattern, error) {
	if err := safetext.Check(s, MaxSize, false); err != nil {
		return Pattern{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	n, err := parseName(s, true)
	if err != nil {
		return Pattern{}, fmt.Errorf("%s %w", safetext.Quote(s), err)
	}
	return Pattern{n}, nil
}

// parseName reads a name of any kind, or a pattern of some.
func parseName(s string, stars bool) (name, error) {
	before, after, _ := strings.Cut(s, ":")
	switch k := kind(before); k {
	case kindUser, kindGroup:
		return parseNumber(k, after)
	case kindCommon:
		return parseCommon(after, stars)
	case kindDNS:
		return parseDNS(after, stars)
	}
	if strings.Contains(s, string(kindURI)) {
		return parseURI(s, stars)
	}
	return name{}, fmt.Errorf("is of no known kind; write uid:NUMBER, gid:NUMBER, cn:NAME, dns:NAME " +
		"or a URI such as spiffe://corp.example/ci/*")
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match reports whether the pattern stands for one of the client's names.
func (p Pattern) Match(c Client) bool {
	for _, n := range c.names {
		if p.kind == n.kind && p.parts.Match(n.parts) {
			return true
		}
	}
	return false
}

// MayMatch reports whether the pattern can stand for the client. It is false only if that surely
// isn't so. What refuses something reads a pattern in this way, so the pattern means the most that
// its words can mean:
//
//   - It matches an unknown client, and one whose names of this kind can't be read.
//   - It matches names for which nobody vouches, such as the common name beside a URI.
//   - The case of letters doesn't matter.
//   - "dns:*.example" is for any number of labels.
//   - A URI is also for what is below it, and "/**" at its end for the URI itself.
func (p Pattern) MayMatch(c Client) bool {
	if !c.known || slices.Contains(c.unclear, p.kind) {
		return true
	}
	for _, names := range [][]name{c.names, c.claimed} {
		for _, n := range names {
			if p.kind == n.kind && p.mayStandFor(n) {
				return true
			}
		}
	}
	return false
}

// mayStandFor is [Pattern.MayMatch] for one name of the same kind.
func (p Pattern) mayStandFor(n name) bool {
	pattern, parts := folded(p.parts), folded(n.parts)
	switch p.kind {
	case kindDNS:
		if more := len(parts) - len(pattern); more > 0 && pattern[0] == string(kindDNS)+":*" {
			first := strings.Join(parts[:more+1], ".")
			parts = append([]string{first}, parts[more+1:]...)
		}
	case kindURI:
		if last := len(pattern) - 1; last > 1 && pattern[last] == "**" {
			pattern = pattern[:last-1] // the end was "*" and "**"; see globs.Name
		}
		below := globs.NewName(append(slices.Clone(pattern), "**"))
		return pattern.Match(parts) || below.Match(parts)
	}
	return pattern.Match(parts)
}

func folded(parts globs.Name) globs.Name {
	out := make(globs.Name, len(parts))
	for i, s := range parts {
		out[i] = strings.ToLower(s)
	}
	return out
}

// Covers reports whether p certainly matches each client that o matches.
func (p Pattern) Covers(o Pattern) bool { return p.kind == o.kind && p.parts.Covers(o.parts) }

// maxNumber is the largest number of a user or a group. The kernel reserves the next one.
const maxNumber uint64 = 1<<32 - 2

// overflow is the number that the kernel shows in the place of a user or a group that has none
// here, as in another user namespace (proc(5), /proc/sys/kernel/overflowuid).
const overflow = 65534

func number(k kind, n uint32) name {
	text := fmt.Sprintf("%s:%d", k, n)
	return name{k, globs.Name{text}, text}
}

func parseNumber(k kind, s string) (name, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	switch {
	case err != nil && (s == "" || strings.Trim(s, "0123456789") != ""):
		what, ask := "user", "id -u NAME"
		if k == kindGroup {
			what, ask = "group", "getent group NAME"
		}
		return name{}, fmt.Errorf("has no number: names of %ss mean something else on each machine, so "+
			"write %s: and the number that %s shows", what, k, safetext.Quote(ask))
	case err != nil || n > maxNumber:
		return name{}, fmt.Errorf("has a number above %d", maxNumber)
	case strconv.FormatUint(n, 10) != s:
		return name{}, fmt.Errorf("has zeros before its number; write %s:%d", k, n)
	case n == overflow:
		return name{}, fmt.Errorf("stands for everybody whom the kernel can't name here; let clients " +
			"have another number")
	}
	return number(k, uint32(n)), nil
}

// maxCommon is the length in bytes of the longest common name. X.520 has 64 characters.
const maxCommon = 256

// parseCommon reads a common name, or a pattern of some.
func parseCommon(s string, stars bool) (name, error) {
	if err := safetext.Check(s, maxCommon, false); err != nil {
		return name{}, err
	}
	switch {
	case s == "":
		return name{}, errors.New("has an empty name")
	case strings.TrimSpace(s) != s:
		return name{}, errors.New("has a space at an end of its name")
	case !stars && globs.Open(s):
		return name{}, errStar
	case strings.Contains(s, "**"):
		return name{}, errors.New("has **; write *, which stands for any characters")
	}
	text := string(kindCommon) + ":" + s
	return name{kindCommon, globs.Name{text}, text}, nil
}

// errStar is the error for a name with a star.
var errStar = errors.New("has a star")

// Bounds of a DNS name in bytes (RFC 1035, section 2.3.4).
const (
	maxHost  = 253
	maxLabel = 63
)

// parseDNS reads a DNS name in lower case, or a pattern of some.
func parseDNS(s string, stars bool) (name, error) {
	const letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	if len(s) > maxHost {
		return name{}, fmt.Errorf("has a DNS name with more than %d bytes", maxHost)
	}
	if !stars && globs.Open(s) {
		return name{}, errStar
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return name{}, errors.New("has an empty label in its DNS name")
		case strings.Contains(label, "**"):
			return name{}, fmt.Errorf("has **; write * for one label, and a pattern for each number of " +
				"labels")
		case globs.FoldASCII(label) != label:
			return name{}, fmt.Errorf("has upper-case letters; write dns:%s",
				safetext.Printable(globs.FoldASCII(s)))
		case strings.Trim(label, letters+digits+"-*") != "":
			return name{}, fmt.Errorf("has other characters than letters, digits and - in its DNS name; " +
				"write a name in another script as certificates have it, with xn--")
		case label[0] == '-' || label[len(label)-1] == '-' || len(label) > maxLabel:
			return name{}, fmt.Errorf("has a label that begins or ends with -, or is longer than %d",
				maxLabel)
		}
	}
	// Some programs read such a name as an IP address (https://url.spec.whatwg.org, ends-in-a-number
	// checker).
	last := labels[len(labels)-1]
	if strings.Trim(last, digits) == "" || strings.HasPrefix(last, "0x") {
		return name{}, errors.New("ends with a number, as an IP address does, and isn't a DNS name")
	}
	text := string(kindDNS) + ":" + s
	return name{kindDNS, strings.Split(text, "."), text}, nil
}

// parseURI reads a URI in its one spelling, or a pattern of some.
func parseURI(s string, stars bool) (name, error) {
	const lower = "abcdefghijklmnopqrstuvwxyz0123456789"
	const segment = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._~@:+=,"
	if len(s) > MaxSize {
		return name{}, fmt.Errorf("has more than %d bytes", MaxSize)
	}
	if !stars && globs.Open(s) {
		return name{}, errStar
	}
	scheme, rest, _ := strings.Cut(s, string(kindURI))
	host, _, _ := strings.Cut(rest, "/")
	switch {
	case scheme == "" || strings.Trim(scheme, lower+"+-.") != "" || scheme[0] < 'a':
		return name{}, errors.New("has no scheme in lower case, such as spiffe, before ://")
	case strings.Contains(host, "*"):
		return name{}, errors.New("has a star in its host, but each host has to be spelled out")
	case host == "" || len(host) > maxHost || strings.Trim(host, lower+"-._") != "":
		return name{}, fmt.Errorf("needs a host after ://, of at most %d lower-case letters, digits, "+
			"-, . and _, without a port", maxHost)
	}
	segments := strings.Split(rest, "/")[1:]
	for _, part := range segments {
		switch {
		case part == "":
			return name{}, errors.New("has an empty segment in its path, such as one that ends with /")
		case part == "." || part == "..":
			return name{}, fmt.Errorf("has a segment %s in its path", part)
		case part != "**" && strings.Contains(part, "**"):
			return name{}, errors.New("has ** in a part of a segment; it has to be a whole one")
		case strings.Trim(part, segment+"*") != "":
			return name{}, fmt.Errorf("has a character in its path that isn't a letter, a digit or one of " +
				"-._~@:+=, such as an escape or a query")
		}
	}
	parts := append([]string{scheme + string(kindURI) + host}, segments...)
	return name{kindURI, globs.NewName(parts), s}, nil
}
