package globs

import "strings"

// hostMark begins the component of a [Name] that is a registry's host, as "//" begins the host
// of a URL. No other component can begin so.
const hostMark = "//"

// anyPort is the port of a host pattern that is for every port, and for none.
const anyPort = "*"

// examplePort stands for a port that is left open.
const examplePort = "49151"

// The stars of a host. Each takes what the ones before it take.
const (
	starDigits byte = 1 + iota // digits
	starLabel                  // all but a dot
	starWide                   // anything
)

// ParseImage splits a pattern of image names in canonical form into its components. The first one
// is a host, unless it is "*" or "**", which stand for any host. In a host,
//   - "*" stands for any characters within one label, and for digits only if the host has the
//     form of an IPv4 address,
//   - "**" stands for any characters, dots included,
//   - the port "*" stands for any port, and for none.
func ParseImage(pattern string) Name { return NewImage(strings.Split(pattern, "/")) }

// NewImage returns the pattern with these components, as [ParseImage] does. There must be at least
// one. It may change the slice.
func NewImage(components []string) Name {
	if first := components[0]; first != "*" && first != anyDepth {
		components[0] = hostMark + first
	}
	return NewName(components)
}

// cutHost returns the host without its mark. It is false for another component.
func cutHost(component string) (string, bool) { return strings.CutPrefix(component, hostMark) }

// SplitPort returns the name and the port of a host or of a pattern of hosts. The port is "" if
// there is none. It checks neither.
func SplitPort(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") {
		return host, ""
	}
	return host[:i], host[i+1:]
}

// tokens returns the characters of a host's name, with one of the stars for each star.
func tokens(name string) []byte {
	star := starLabel
	if IsIPv4(name) {
		star = starDigits
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] != '*':
			out = append(out, name[i])
		case i+1 < len(name) && name[i+1] == '*':
			out = append(out, starWide)
			i++
		default:
			out = append(out, star)
		}
	}
	return out
}

// IsIPv4 reports whether a host's name consists of four labels of digits and single stars, with at
// least one digit. Only an IPv4 address can match it.
func IsIPv4(name string) bool {
	return strings.Count(name, ".") == 3 && strings.Trim(name, "0123456789.*") == "" &&
		strings.ContainsAny(name, "0123456789") && !strings.Contains(name, "**")
}

// takes reports whether the star of a host stands for the character, or for all that another star
// stands for.
func takes(star, token byte) bool {
	switch {
	case token <= starWide:
		return token <= star
	case star == starDigits:
		return token >= '0' && token <= '9'
	}
	return star == starWide || token != '.'
}

// coversHost reports whether big matches every host that small matches.
func coversHost(big, small string) bool {
	if big == small || !Open(big) {
		return big == small
	}
	bigName, bigPort := SplitPort(big)
	smallName, smallPort := SplitPort(small)
	if bigPort != anyPort && bigPort != smallPort {
		return false
	}
	if !Open(bigName) {
		return bigName == smallName
	}
	return coversTokens(tokens(bigName), tokens(smallName))
}

func coversTokens(big, small []byte) bool {
	reach, next := make([]bool, len(small)+1), make([]bool, len(small)+1)
	reach[0] = true
	for _, t := range big {
		clear(next)
		taking := false
		for j := range next {
			switch {
			case t <= starWide:
				taking = reach[j] || taking && takes(t, small[j-1])
				next[j] = taking
			case j > 0:
				next[j] = reach[j-1] && small[j-1] == t
			}
		}
		reach, next = next, reach
	}
	return reach[len(small)]
}

// overlapTokens reports whether some text is in both.
func overlapTokens(a, b []byte) bool {
	reach, next := make([]bool, len(b)+1), make([]bool, len(b)+1)
	reach[0] = true
	for i := 0; ; i++ {
		clear(next)
		for j := range reach {
			if !reach[j] {
				continue
			}
			inA, inB := i < len(a), j < len(b)
			starA, starB := inA && a[i] <= starWide, inB && b[j] <= starWide
			if starB || starA && inB && takes(a[i], b[j]) {
				reach[j+1] = true
			}
			if starA || starB && inA && takes(b[j], a[i]) {
				next[j] = true
			}
			if inA && inB && a[i] == b[j] {
				next[j+1] = true
			}
		}
		if i == len(a) {
			return reach[len(b)]
		}
		reach, next = next, reach
	}
}

// overlapHosts reports whether some host is in both.
func overlapHosts(a, b string) bool {
	nameA, portA := SplitPort(a)
	nameB, portB := SplitPort(b)
	return (portA == portB || portA == anyPort || portB == anyPort) &&
		overlapTokens(tokens(nameA), tokens(nameB))
}

// meetHosts returns hosts that together stand for what is in both.
func meetHosts(a, b string) ([]string, bool) {
	nameA, portA := SplitPort(a)
	nameB, portB := SplitPort(b)
	port := portA
	switch {
	case portA == anyPort:
		port = portB
	case portB != anyPort && portA != portB:
		return nil, true
	}
	if port != "" {
		port = ":" + port
	}
	forms, all := meet(letters(tokens(nameA)), letters(tokens(nameB)), hostStars, same)
	out := make([]string, len(forms))
	for i, f := range forms {
		for _, token := range f {
			switch token[0] {
			case starDigits, starLabel:
				token = "*"
			case starWide:
				token = "**"
			}
			out[i] += token
		}
		out[i] += port
	}
	return out, all
}

func letters(tokens []byte) []string { return split(string(tokens)) }

// exampleHost returns a host that matches, in the sense of [Name.Example].
func exampleHost(host, fill string, depth int) string {
	name, port := SplitPort(host)
	label := fill
	if IsIPv4(name) && fill != "" {
		label = "253"
	}
	var labels []string
	for range depth {
		labels = append(labels, fill)
	}
	name = strings.ReplaceAll(name, "**", "\x00")
	name = strings.ReplaceAll(name, "*", label)
	name = strings.ReplaceAll(name, "\x00", strings.Join(labels, "."))
	switch {
	case port == anyPort && depth > 0:
		return name + ":" + examplePort
	case port != anyPort && port != "":
		return name + ":" + port
	}
	return name
}

// MatchesVersion reports whether the glob can match the version with more numbers, separated by
// dots, up to the given number of them.
func MatchesVersion(glob, version string, numbers int) bool {
	wide := make([]byte, 0, len(glob))
	for i := range len(glob) {
		if glob[i] == '*' {
			wide = append(wide, starWide)
		} else {
			wide = append(wide, glob[i])
		}
	}
	longer := []byte(version)
	for range numbers - 1 - strings.Count(version, ".") {
		longer = append(longer, '.', starDigits)
		if overlapTokens(wide, longer) {
			return true
		}
	}
	return false
}

// The components of a name are hosts or not. Only where a "**" before it stands for no component,
// one that is no host is compared with a host. It then has the plain meaning of a glob.

func coversComponent(big, small string) bool {
	bigHost, isHost := cutHost(big)
	smallHost, both := cutHost(small)
	switch {
	case isHost && both:
		return coversHost(bigHost, smallHost)
	case isHost:
		return false
	}
	return Match(big, smallHost)
}

func overlapComponents(a, b string) bool {
	hostA, isA := cutHost(a)
	hostB, isB := cutHost(b)
	switch {
	case !isA && !isB:
		return Overlaps(a, b)
	case isA && isB:
		return overlapHosts(hostA, hostB)
	}
	forms, _ := meetComponents(a, b)
	return len(forms) > 0
}

func meetComponents(a, b string) ([]string, bool) {
	hostA, isA := cutHost(a)
	hostB, isB := cutHost(b)
	switch {
	case !isA && !isB:
		return Meet(a, b)
	case isA && isB:
		forms, all := meetHosts(hostA, hostB)
		return marked(forms), all
	case isB:
		return meetComponents(b, a)
	case b == "*":
		return []string{a}, true
	}
	name, port := SplitPort(hostA)
	forms, all := Meet(strings.ReplaceAll(name, "**", "*"), b)
	for i, f := range forms {
		forms[i] = strings.ReplaceAll(f, "*", "**")
		if port != "" {
			forms[i] += ":" + port
		}
	}
	return marked(forms), all
}

func marked(hosts []string) []string {
	for i, h := range hosts {
		hosts[i] = hostMark + h
	}
	return hosts
}
