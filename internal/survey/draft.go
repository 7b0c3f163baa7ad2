package survey

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// DefaultFrontend is the frontend of builds that name none, in a draft.
const DefaultFrontend = "docker/dockerfile:1"

// seen says where something was found, and how often.
type seen struct {
	places map[string]bool
	first  string
	most   int // the highest value of a limit

	frontend imageref.Reference
}

// finds has what was found, by what an entry of a policy would say.
type finds map[string]*seen

func (f finds) add(entry string, u Use) *seen {
	s := f[entry]
	if s == nil {
		s = &seen{places: map[string]bool{}}
		f[entry] = s
	}
	place := safetext.Plain(u.File)
	if u.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, u.Line)
	}
	if s.first == "" {
		s.first = place
	}
	s.places[place] = true
	return s
}

// comment says where an entry was found.
func (s *seen) comment() string {
	if len(s.places) == 1 {
		return "  # in " + s.first
	}
	return fmt.Sprintf("  # in %d places, first in %s", len(s.places), s.first)
}

// draft collects the entries of a policy, by the field that they belong to.
type draft struct {
	frontends finds
	isDefault bool
	others    bool             // directories besides those that others: deny permits
	fields    map[string]finds // such as "images" and "exec.secrets"
}

// Draft returns a policy that allows what builds use, and as little else as its words can say. Its
// comments say where each entry was found. The text is YAML. An operation that no rule can allow
// isn't in it.
func Draft(uses []Use) []byte {
	d := draft{frontends: finds{}, fields: map[string]finds{}}
	for _, u := range uses {
		if u.Frontend != (imageref.Reference{}) {
			d.frontends.add(u.Frontend.Name(), u).frontend = u.Frontend
			d.isDefault = d.isDefault || u.Default
			continue
		}
		d.operation(u)
	}
	return []byte(d.text())
}

// add adds an entry of a field. A "*" in it would be for more than what was found.
func (d *draft) add(field, entry string, u Use) {
	if entry == "" || strings.Contains(entry, "*") {
		return
	}
	d.put(field, entry, u)
}

func (d *draft) put(field, entry string, u Use) *seen {
	if d.fields[field] == nil {
		d.fields[field] = finds{}
	}
	return d.fields[field].add(entry, u)
}

func (d *draft) operation(u Use) {
	repository := func(field, ref string) {
		if r, err := imageref.Parse(ref); err == nil {
			d.add(field, r.Name(), u)
		}
	}
	switch o := u.Operation; {
	case o.Image != "":
		repository("images", o.Image)
	case o.OCILayout != "":
		repository("ociLayout", o.OCILayout)
	case o.Blob != "":
		repository("blob", o.Blob)
	case o.Git != nil:
		d.url("git", o.Git.URL, u)
	case o.HTTP != nil:
		d.url("http", o.HTTP.URL, u)
	case o.Local != "":
		d.add("local", o.Local, u)
		d.others = d.others || o.Local != keyContext && o.Local != "dockerfile"
	case o.Exec != nil:
		d.exec(o.Exec, u)
	}
}

func (d *draft) exec(e *buildrules.Exec, u Use) {
	if e.Network == buildrules.NetworkHost {
		d.add("exec.networks", e.Network, u)
	}
	if e.Insecure {
		d.add("exec.insecure", "true", u)
	}
	lists := map[string][]string{
		"ssh": e.SSH, "secrets": e.Secrets, "devices": e.Devices, "hosts": e.Hosts,
	}
	for field, list := range lists {
		for _, entry := range list {
			d.add("exec."+field, entry, u)
		}
	}
	for name, limit := range e.Ulimits {
		s := d.put("exec.ulimits", name, u)
		if s.most = max(s.most, limit); limit < 0 || s.most < 0 {
			s.most = -1
		}
	}
	d.add("exec.cgroupParents", e.CgroupParent, u)
}

// url adds the pattern of a URL: the scheme, the host, and the first directory of its path. Without
// a directory, it is for files of the host's root.
func (d *draft) url(field, text string, u Use) {
	if !strings.Contains(text, "://") { // user@host:path
		text = "ssh://" + strings.Replace(text, ":", "/", 1)
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || strings.Contains(parsed.Host+parsed.Path, "*") {
		return
	}
	host := strings.ToLower(parsed.Host)
	if _, port, err := net.SplitHostPort(host); err == nil && port == "" {
		return
	}
	pattern := parsed.Scheme + "://" + host + "/*"
	first, rest, ok := strings.Cut(strings.TrimPrefix(parsed.EscapedPath(), "/"), "/")
	if ok && first != "" && rest != "" {
		pattern = parsed.Scheme + "://" + host + "/" + first + "/**"
	}
	d.put(field, pattern, u)
}

// accept is a comment for lint, which would report what builds use. It stands on the line before.
func accept(code string) string { return "# lint:ignore " + code + " builds use it" }

// drop removes the entries that no policy can have, such as a host that programs read as several
// addresses.
func (d *draft) drop() {
	for field, found := range d.fields {
		kind, part, isPart := strings.Cut(field, ".")
		for entry := range found {
			list := "[" + strconv.QuoteToASCII(entry) + "]"
			switch {
			case field == "exec.insecure":
				list = "true"
			case field == "exec.ulimits":
				list = fmt.Sprintf("{%s: %d}", strconv.QuoteToASCII(entry), found[entry].most)
			case !isPart:
				part = "allow"
			}
			if !valid("build: {" + kind + ": {" + part + ": " + list + "}}\nfrontends: []") {
				delete(found, entry)
			}
		}
		if len(found) == 0 {
			delete(d.fields, field)
		}
	}
	for repository := range d.frontends {
		if !valid("frontends: [{match: [" + strconv.QuoteToASCII(repository) + "]}]") {
			delete(d.frontends, repository)
		}
	}
}

// valid reports whether a policy with these fields is valid.
func valid(fields string) bool {
	_, err := policy.Parse("draft", []byte("version: 1\ndispatch: mediate\n"+fields+"\n"))
	return err == nil
}

// nameOf returns a name for the rule on a repository: the last part of it, unless it is reserved.
func nameOf(repository string) string {
	name := path.Base(repository)
	if imagerules.IsReserved(name) {
		name += "-frontend"
	}
	return name
}

func (d *draft) text() string {
	d.drop()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# A draft: it allows what was found in build files, good or bad. Read each entry, and delete")
	line("# what nobody should use. Then try it with policy-frontend check.")
	line("version: 1")
	line("id: draft")
	line("contact: the authors of the policy  # say whom to ask")
	if d.isDefault {
		line("defaultFrontend: %s", DefaultFrontend)
	}
	line("dispatch: mediate")
	line("build:")
	line("  others: deny  # sources of other kinds than those below")
	for _, kind := range []string{"images", "git", "http", "local", "ociLayout", "blob"} {
		if d.fields[kind] != nil && (kind != "local" || d.others) {
			if kind == "ociLayout" {
				line("  %s", accept("layout-name"))
			}
			d.list(&b, kind, "  "+kind+":\n    allow:", "      ")
		}
	}
	d.execText(&b, line)
	line("frontends:")
	names := map[string]int{}
	for _, repository := range slices.Sorted(maps.Keys(d.frontends)) {
		name := nameOf(repository)
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		s := d.frontends[repository]
		if !readsDockerfiles(s.frontend) {
			line("  # What this frontend asks for isn't known offline. \"others: deny\" may refuse it.")
		}
		line("  - name: %s", strconv.QuoteToASCII(name))
		line("    match: [%s]%s", strconv.QuoteToASCII(repository), s.comment())
	}
	if len(d.frontends) == 0 {
		return strings.Replace(b.String(), "frontends:\n", "frontends: []\n", 1)
	}
	return b.String()
}

// list writes the entries of a field below its name.
func (d *draft) list(b *strings.Builder, field, head, indent string) {
	fmt.Fprintln(b, head)
	found := d.fields[field]
	for _, entry := range slices.Sorted(maps.Keys(found)) {
		if strings.HasPrefix(entry, "http://") || strings.HasPrefix(entry, "git://") {
			fmt.Fprintln(b, indent+accept("plain-http"))
		}
		fmt.Fprintf(b, "%s- %s%s\n", indent, strconv.QuoteToASCII(entry), found[entry].comment())
	}
}

func (d *draft) execText(b *strings.Builder, line func(string, ...any)) {
	line("  exec:")
	if host := d.fields["exec.networks"]; host != nil {
		line("    %s", accept("host-network"))
		line("    networks: [none, default, host]%s", host[buildrules.NetworkHost].comment())
	} else {
		line("    networks: [none, default]")
	}
	if found := d.fields["exec.insecure"]; found != nil {
		line("    %s", accept("insecure-exec"))
		line("    insecure: true%s", found["true"].comment())
	}
	for _, field := range []string{"ssh", "secrets", "devices", "hosts", "cgroupParents"} {
		if d.fields["exec."+field] != nil {
			d.list(b, "exec."+field, "    "+field+":", "      ")
		}
	}
	limits := d.fields["exec.ulimits"]
	if limits != nil {
		line("    ulimits:")
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		line("      %s: %d%s", strconv.QuoteToASCII(name), limits[name].most, limits[name].comment())
	}
}
