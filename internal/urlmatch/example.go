package urlmatch

import (
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// Filling is what examples have in the place of stars.
type Filling struct {
	Text string // letters and digits
	Deep int    // how often Text stands for "**" in the deepest example
	Port int    // for any port, besides the scheme's own
}

// FreshPort returns a port that none of the forms names, and that no scheme has.
func FreshPort(forms []Form) int {
	port := 8000
	for slices.ContainsFunc(forms, func(f Form) bool { return f.port == port }) {
		port++
	}
	return port
}

// Examples returns URLs that the form matches and that have one reading: each combination of
// examples of its parts, the plainest first.
func (f Form) Examples(p Protocol, fill Filling) []string {
	ports := []int{f.port}
	if f.port == 0 {
		ports = append(ports, fill.Port)
	}
	var out []string
	hosts, paths := f.host.examples(fill), pathExamples(f.path, fill)
	for _, path := range paths {
		for _, host := range hosts {
			for _, scheme := range f.schemes {
				for _, port := range ports {
					if s := written(scheme, host, port, path); f.isExample(s, p) && !slices.Contains(out, s) {
						out = append(out, s)
					}
				}
			}
		}
	}
	return out
}

// written writes a URL. The port is left out if it is 0 or the scheme's own.
func written(scheme, host string, port int, path string) string {
	if port != 0 && port != ownPort(scheme) {
		host += ":" + strconv.Itoa(port)
	}
	return scheme + "://" + host + path
}

// isExample reports whether a URL has one reading, which the form matches.
func (f Form) isExample(s string, p Protocol) bool {
	u, err := Parse(s, p)
	return err == nil && len(u.readings) == 1 && f.Match(u.readings[0])
}

// examples returns hosts that match, the plainest first.
func (h host) examples(fill Filling) []string {
	switch {
	case h.address != "":
		return []string{h.address}
	case h.isAny():
		return []string{fill.Text + ".example", fill.Text, "203.0.113.7", "[2001:db8::7]"}
	}
	var out []string
	add := func(text, part string, depths ...int) {
		for _, depth := range depths {
			host := strings.Join(filled(h.labels, text, part, depth), ".")
			_, labels, err := readName(host, false)
			if err == nil && checkAddress(host) == nil &&
				h.match(Location{host: host, labels: labels}) && !slices.Contains(out, host) {
				out = append(out, host)
			}
		}
	}
	add(fill.Text, fill.Text, 1, 0, fill.Deep)
	add("", fill.Text, 0, 1)
	if h.canBeIPv4() {
		const number = "7"
		add(number, number, 0, 1, 2, 3)
	}
	return out
}

// pathExamples returns paths that match.
func pathExamples(path globs.Name, fill Filling) []string {
	var out []string
	for _, text := range []string{fill.Text, ""} {
		for _, depth := range []int{0, 1, fill.Deep} {
			var b strings.Builder
			writePath(&b, filled(path, text, fill.Text, depth))
			if !slices.Contains(out, b.String()) {
				out = append(out, b.String())
			}
		}
	}
	return out
}

// filled returns a name with a text for each "*", and depth times another for each "**".
func filled(name globs.Name, text, part string, depth int) []string {
	var out []string
	for _, c := range name {
		if c == "**" {
			out = append(out, slices.Repeat([]string{part}, depth)...)
			continue
		}
		out = append(out, globs.Example(c, text))
	}
	return out
}
