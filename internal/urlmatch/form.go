package urlmatch

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
)

// Form is a pattern whose meaning doesn't depend on its purpose. It matches a URL if its
// scheme, port, host and path each match.
type Form struct {
	schemes []string
	port    int // 0 for any
	host    host
	path    globs.Name // a "**" at its end stands for any number of components
	// folded says that the path is in lower case, and matches in any case of ASCII letters.
	folded bool
}

// host is a pattern of hosts.
type host struct {
	address string     // an IPv6 address, or ""
	labels  globs.Name // the single "**" is any host, and the only one for IPv6 addresses
	isIPv4  bool       // matches IPv4 addresses only
}

// maxHosts is how many forms of its host a pattern has at most.
const maxHosts = 8

// compile returns the forms of a pattern.
func (w parts) compile(protocol Protocol, purpose Purpose) ([]Form, error) {
	if w.everything {
		return []Form{Everything(protocol)}, nil
	}
	path := globs.Name{"**"}
	switch {
	case w.empty && purpose == Allow:
		return nil, errors.New("nothing follows the slash or colon after its host; " +
			"write /** there for the whole host")
	case w.path == nil:
	case purpose == Deny:
		path = below(w.path)
	default:
		path = globs.NewName(w.path)
	}
	if purpose == Allow {
		h, err := w.allowedHost()
		var out []Form
		for _, scheme := range w.schemes(protocol.safe()) {
			out = append(out, Form{
				schemes: []string{scheme}, port: w.portOf(ownPort(scheme)), host: h, path: path,
			})
		}
		return out, err
	}
	hosts, err := w.deniedHosts()
	out := make([]Form, len(hosts))
	for i, h := range hosts {
		out[i] = Form{
			schemes: w.schemes(protocol.schemes()), port: w.portOf(0), host: h, path: fold(path),
			folded: true,
		}
	}
	return out, err
}

// Everything returns the form that matches every URL of the protocol.
func Everything(p Protocol) Form {
	return Form{schemes: p.schemes(), host: host{labels: globs.Name{"**"}}, path: globs.Name{"**"}}
}

// schemes returns the pattern's scheme, or others if it names none.
func (w parts) schemes(others []string) []string {
	if w.scheme != "" {
		return []string{w.scheme}
	}
	return others
}

// portOf returns the pattern's port, or another if it names none.
func (w parts) portOf(other int) int {
	if w.port == "" {
		return other
	}
	port, _ := strconv.Atoi(w.port) // "*" is 0.
	return port
}

// below returns a path with everything below it.
func below(path []string) globs.Name {
	for len(path) > 0 && (path[len(path)-1] == "" || path[len(path)-1] == "**") {
		path = path[:len(path)-1]
	}
	return append(slices.Clone(globs.Name(path)), "**")
}

// allowedHost returns the fewest hosts that the pattern's can mean.
func (w parts) allowedHost() (host, error) {
	h := host{labels: w.labels}
	switch {
	case isIPv6(w.host):
		return host{address: w.host}, nil
	case !isNumeric(w.labels) || !globs.Open(w.host):
		return h, nil
	}
	h.isIPv4 = true
	if !h.canBeIPv4() {
		return h, errors.New(
			"its host is no IPv4 address; write one with four parts, such as 10.*.*.*")
	}
	return h, nil
}

// deniedHosts returns the most hosts that the pattern's can mean: each "*" can stand for
// several labels.
func (w parts) deniedHosts() ([]host, error) {
	switch {
	case isIPv6(w.host):
		return []host{{address: w.host}}, nil
	case w.host == "*":
		return []host{{labels: globs.Name{"**"}}}, nil
	}
	names := []globs.Name{nil}
	for _, label := range w.labels {
		var next []globs.Name
		for _, name := range names {
			for _, form := range crossing(label) {
				next = append(next, slices.Concat(name, form))
			}
		}
		if names = next; len(names) > maxHosts {
			return nil, errors.New(
				"it has too many stars within the labels of its host; write several patterns")
		}
	}
	out := make([]host, len(names))
	for i, name := range names {
		out[i].labels = normalized(name)
	}
	return out, nil
}

// crossing returns the labels that one label can stand for if a "*" can cross dots.
func crossing(label string) []globs.Name {
	switch first, rest, open := strings.Cut(label, "*"); {
	case label == "**" || !open:
		return []globs.Name{{label}}
	case first == "" && rest == "":
		return []globs.Name{{"*", "**"}}
	case first == "" && !globs.Open(rest):
		return []globs.Name{{"**", label}}
	case rest == "":
		return []globs.Name{{label, "**"}}
	default:
		// The stars either stay in the label, or cross dots between its two ends.
		end := label[strings.LastIndexByte(label, '*')+1:]
		return []globs.Name{{label}, {first + "*", "**", "*" + end}}
	}
}

// normalized writes "*" before "**" where they stand side by side, and "**" once.
func normalized(name globs.Name) globs.Name {
	var out globs.Name
	for _, c := range name {
		last := len(out) - 1
		switch {
		case last < 0 || out[last] != "**":
			out = append(out, c)
		case c == "**":
		case c == "*":
			out = append(out[:last], "*", "**")
		default:
			out = append(out, c)
		}
	}
	return out
}

// fold returns a path in lower case.
func fold(path []string) globs.Name {
	out := make(globs.Name, len(path))
	for i, c := range path {
		out[i] = globs.FoldASCII(c)
	}
	return out
}

// isAny reports whether any host matches.
func (h host) isAny() bool { return len(h.labels) == 1 && h.labels[0] == "**" }

// canBeIPv4 reports whether an IPv4 address may match.
func (h host) canBeIPv4() bool {
	few := 0
	for _, label := range h.labels {
		if n, err := strconv.Atoi(label); err == nil && (n > 255 || strconv.Itoa(n) != label) ||
			strings.Trim(label, "0123456789*") != "" {
			return false
		}
		if label != "**" {
			few++
		}
	}
	return h.address == "" && (few == 4 || few < 4 && slices.Contains(h.labels, "**"))
}

func (h host) match(l Location) bool {
	switch {
	case h.isAny():
		return true
	case h.address != "" || isIPv6(l.host):
		return h.address == l.host
	case h.isIPv4 && !isIPv4(l.host):
		return false
	}
	return h.labels.Match(l.labels)
}

// covers reports whether h certainly matches every host that o matches.
func (h host) covers(o host) bool {
	switch {
	case h.isAny():
		return true
	case h.address != "" || o.address != "":
		return h.address == o.address
	case h.isIPv4 && !o.isIPv4 && !isIPv4(strings.Join(o.labels, ".")):
		return false
	}
	return h.labels.Covers(o.labels)
}

// meet returns hosts that together are what both match. It is false if some are left out.
func (h host) meet(o host) ([]host, bool) {
	switch {
	case h.isAny():
		return []host{o}, true
	case o.isAny():
		return []host{h}, true
	case h.address != "" || o.address != "":
		if h.address != o.address {
			return nil, true
		}
		return []host{h}, true
	}
	names, all := h.labels.Meet(o.labels)
	var out []host
	for _, name := range names {
		m := host{labels: name, isIPv4: h.isIPv4 || o.isIPv4}
		if !m.isIPv4 || m.canBeIPv4() {
			out = append(out, m)
		}
	}
	return out, all
}

// Match reports whether the form matches the place.
func (f Form) Match(l Location) bool {
	return slices.Contains(f.schemes, l.scheme) && (f.port == 0 || f.port == l.port) &&
		f.host.match(l) && f.path.Match(f.inCase(l.path))
}

// inCase returns a path in the case in which the form's is compared with it.
func (f Form) inCase(path []string) globs.Name {
	if f.folded {
		return fold(path)
	}
	return path
}

// IsEverywhere reports whether the form is for every host and every path.
func (f Form) IsEverywhere() bool {
	last := len(f.path) - 1
	return f.host.isAny() && f.path[last] == "**" && (last == 0 || last == 1 && f.path[0] == "*")
}

// Schemes returns the schemes that the form is for.
func (f Form) Schemes() []string { return f.schemes }

// IsForIPv4 reports whether the form matches IPv4 addresses only, by a host with stars.
func (f Form) IsForIPv4() bool { return f.host.isIPv4 }

// Labels returns the labels of the form's host, with stars; none for an IPv6 address.
func (f Form) Labels() []string { return f.host.labels }

// Path returns the components of the form's path, with stars.
func (f Form) Path() []string { return f.path }

// WithScheme returns the form for another scheme and any port.
func (f Form) WithScheme(scheme string) Form {
	f.schemes, f.port = []string{scheme}, 0
	return f
}

// Equal reports whether the forms are the same.
func (f Form) Equal(o Form) bool {
	return slices.Equal(f.schemes, o.schemes) && f.port == o.port && slices.Equal(f.path, o.path) &&
		f.folded == o.folded &&
		f.host.address == o.host.address && f.host.isIPv4 == o.host.isIPv4 &&
		slices.Equal(f.host.labels, o.host.labels)
}

// Covers reports whether f certainly matches everything that o matches.
func (f Form) Covers(o Form) bool {
	return !slices.ContainsFunc(o.schemes,
		func(s string) bool { return !slices.Contains(f.schemes, s) }) &&
		(f.port == 0 || f.port == o.port) && f.host.covers(o.host) && f.coversPath(o)
}

func (f Form) coversPath(o Form) bool {
	text := strings.Join(f.path, "")
	if o.folded && !f.folded && strings.ToUpper(text) != strings.ToLower(text) {
		return false // It has letters, and o has them in the other case too.
	}
	return f.path.Covers(f.inCase(o.path))
}

func (f Form) meetPath(o Form) ([]globs.Name, bool) {
	switch {
	case f.folded == o.folded:
		return f.path.Meet(o.path)
	case f.folded:
		return f.path.MeetFold(o.path)
	}
	return o.path.MeetFold(f.path)
}

// Meet returns forms that together match what both match. It is false if some are left
// out, because there are more than [globs.MaxForms]. If only one form is for any letter case,
// they have its lower case where the other has stars. There are none only if no URL is in both.
func (f Form) Meet(o Form) ([]Form, bool) {
	m := Form{port: max(f.port, o.port), folded: f.folded && o.folded}
	for _, s := range f.schemes {
		if slices.Contains(o.schemes, s) {
			m.schemes = append(m.schemes, s)
		}
	}
	if len(m.schemes) == 0 || f.port != o.port && min(f.port, o.port) > 0 {
		return nil, true
	}
	hosts, allHosts := f.host.meet(o.host)
	if len(hosts) == 0 {
		return nil, allHosts
	}
	paths, allPaths := f.meetPath(o)
	var out []Form
	for _, m.host = range hosts {
		for _, m.path = range paths {
			if len(out) == globs.MaxForms {
				return out, false
			}
			out = append(out, m)
		}
	}
	return out, allHosts && allPaths
}

// Overlaps reports whether both may match the same.
func (f Form) Overlaps(o Form) bool {
	forms, all := f.Meet(o)
	return len(forms) > 0 || !all
}

// String returns what the pattern means, as [Pattern.Meanings] does.
func (p Pattern) String() string { return strings.Join(p.Meanings(), ", ") }

// Meanings returns patterns that together mean the same, for the same purpose and in
// canonical form. Those of what is allowed have a scheme. Their ports are left out where they
// are the scheme's own. A path that was left out is written as "**".
func (p Pattern) Meanings() []string { return p.meanings }

// meant returns what [Pattern.Meanings] does, for a pattern with forms.
func (p Pattern) meant() []string {
	w := p.read
	switch {
	case w.everything:
		return []string{"**"}
	case p.purpose == Deny:
		return []string{w.text(w.scheme, 0)}
	}
	var out []string
	for _, f := range p.forms {
		scheme := f.schemes[0]
		out = append(out, w.text(scheme, ownPort(scheme)))
	}
	return out
}

// text writes the pattern with a scheme, or without one. It leaves out one port.
func (w parts) text(scheme string, without int) string {
	var b strings.Builder
	if scheme != "" {
		b.WriteString(scheme + "://")
	}
	b.WriteString(w.host)
	if w.port != "" && w.port != strconv.Itoa(without) {
		b.WriteString(":" + w.port)
	}
	var path strings.Builder
	writePath(&path, w.path)
	if w.path == nil {
		path.WriteString("/**")
	}
	// readPath refuses an encoded star, so each star was a plain one.
	b.WriteString(strings.ReplaceAll(path.String(), "%2A", "*"))
	return b.String()
}
