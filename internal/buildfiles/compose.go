package buildfiles

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// service returns the build of a service, if it has one. missing is what isn't known about it, and
// file the first of the files that are merged.
func (c *composing) service(file, service string, n *yaml.Node, missing []string) Found {
	s := fieldsIn(n)
	build := s["build"]
	r := composeReader{described: described{
		file: file, line: n.Line, options: map[string]string{}, contexts: map[string]string{},
		origin: fmt.Sprintf("service %q of %s", service, path.Join(c.tree.Dir, file)),
	}}
	if from := c.from[n]; from != "" {
		r.file = from
	}
	if !isNull(build) {
		r.line = build.Line
		if from := c.from[build]; from != "" {
			r.file = from
		}
	}
	for _, what := range missing {
		r.miss(what)
	}
	var found Found
	switch {
	case isNull(build):
	case build.Kind == yaml.SequenceNode:
		r.miss("build is a list")
	default:
		r.read(s)
		r.dir = c.directory(build, file)
		at := r.described
		if from := c.from[fieldsIn(build)["dockerfile_inline"]]; from != "" {
			at.file = from
		}
		found = c.tree.build(at)
	}
	for _, what := range r.missing {
		found.add(r.unknown(what))
	}
	return found
}

// directory returns the directory to which a build's context is relative: that of the file that
// has the context.
func (c *composing) directory(build *yaml.Node, file string) string {
	context := build
	if build.Kind == yaml.MappingNode {
		context = fieldsIn(build)["context"]
	}
	if from := c.from[context]; from != "" {
		file = from
	}
	return path.Dir(file)
}

type composeReader struct {
	described

	missing []string
}

// miss says what isn't known, once.
func (r *composeReader) miss(what string) {
	if len(r.missing) < maxUnknown && !slices.Contains(r.missing, what) {
		r.missing = append(r.missing, what)
	}
}

// composeIgnored are the keys of build that give the client something, and the frontend nothing.
var composeIgnored = []string{"cache_to", "entitlements", "secrets", "ssh", "tags"}

// composeRead are the keys of build that read reads.
var composeRead = []string{
	"additional_contexts", "args", "cache_from", "context", "dockerfile", "dockerfile_inline",
	"extra_hosts", "labels", "network", "no_cache", "no_cache_filter", "platforms", "provenance",
	"pull", "sbom", "shm_size", "target", "ulimits",
}

// read fills in the description of a service's build.
func (r *composeReader) read(s map[string]*yaml.Node) {
	build := s["build"]
	set := func(key, value string) {
		if value != "" {
			r.options[key] = value
		}
	}
	set("platform", r.scalar("platform", s["platform"]))
	if build.Kind == yaml.ScalarNode {
		r.context = r.scalar("build", build)
		return
	}
	b := fieldsIn(build)
	for _, key := range slices.Sorted(maps.Keys(b)) {
		isRead := slices.Contains(composeRead, key) || slices.Contains(composeIgnored, key)
		isOwn := strings.HasPrefix(key, "x-") && key != "x-bake"
		if !isRead && !isOwn && !isNull(b[key]) {
			r.miss("check doesn't know what " + strconv.Quote(key) + " does")
		}
	}
	r.context = r.scalar("context", b["context"])
	r.dockerfile = r.scalar("dockerfile", b["dockerfile"])
	r.readInline(b["dockerfile_inline"])
	set("target", r.scalar("target", b["target"]))
	platforms := slices.DeleteFunc(r.list("platforms", b["platforms"]), isLocal)
	set("platform", strings.Join(platforms, ","))
	if network := r.scalar("network", b["network"]); network != "default" {
		set("force-network-mode", network)
	}
	r.options = r.pairs(r.options, b["args"], "args", "build-arg:", "=")
	r.options = r.pairs(r.options, b["labels"], "labels", "label:", "=")
	r.contexts = r.pairs(r.contexts, b["additional_contexts"], "additional_contexts", "", "=")
	var hosts []string
	for _, p := range r.entries("extra_hosts", b["extra_hosts"], "=:") {
		hosts = append(hosts, p[0]+"="+strings.Trim(p[1], "[]"))
	}
	set("add-hosts", strings.Join(hosts, ","))
	set("ulimit", strings.Join(r.ulimits(b["ulimits"]), ","))
	r.readClient(b)
}

// readClient reads the keys that the client turns into options of another form.
func (r *composeReader) readClient(b map[string]*yaml.Node) {
	known := func(key string, ok bool) {
		if !ok {
			r.miss(key + " can't be read")
		}
	}
	for _, key := range []string{"provenance", "sbom"} {
		text := r.scalar(key, b[key])
		if text == "" {
			continue
		}
		if is, err := strconv.ParseBool(text); err == nil {
			text = "disabled=" + strconv.FormatBool(!is)
		}
		known(key, r.addAttest("type="+key+","+text))
	}
	known("cache_from", r.addCaches(r.list("cache_from", b["cache_from"])))
	known("no_cache", r.addNoCache(r.scalar("no_cache", b["no_cache"]),
		r.list("no_cache_filter", b["no_cache_filter"])))
	known("pull", r.addPull(r.scalar("pull", b["pull"])))
	if size := r.scalar("shm_size", b["shm_size"]); size != "" {
		known("shm_size", r.addSharedMemory(size))
	}
}

func (r *composeReader) readInline(n *yaml.Node) {
	r.inline = r.scalar("dockerfile_inline", n)
	if r.inline == "" {
		return
	}
	r.inlineLine = n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		r.inlineLine++
	}
}

// scalar returns a value that is a text; "" if there is none.
func (r *composeReader) scalar(what string, n *yaml.Node) string {
	switch {
	case isNull(n):
		return ""
	case n.Kind != yaml.ScalarNode:
		r.miss(what + " isn't a text")
		return ""
	}
	return r.text(what, n.Value)
}

// list returns the texts of a list. A text alone is a list of one.
func (r *composeReader) list(what string, n *yaml.Node) []string {
	if isNull(n) {
		return nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var out []string
	for _, item := range items {
		if text := r.scalar(what, item); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// pairs adds to options the entries of a map or of a list. A name without a value takes it from
// the environment, which isn't known.
func (r *composeReader) pairs(
	options map[string]string, n *yaml.Node, what, prefix, separators string,
) map[string]string {
	for _, p := range r.entries(what, n, separators) {
		if p[1] == fromEnvironment {
			r.miss(fmt.Sprintf("%s%s comes from the environment", prefix, p[0]))
			continue
		}
		options[prefix+p[0]] = p[1]
	}
	return options
}

// ulimits returns limits as BuildKit reads them, such as nofile=1024:2048.
func (r *composeReader) ulimits(n *yaml.Node) []string {
	var out []string
	limits := fieldsIn(n)
	if limits == nil && !isNull(n) {
		r.miss("ulimits isn't a map")
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		soft, hard := limits[name], limits[name]
		if parts := fieldsIn(limits[name]); parts != nil {
			soft, hard = parts["soft"], parts["hard"]
		}
		out = append(out, name+"="+r.scalar("ulimits", soft)+":"+r.scalar("ulimits", hard))
	}
	return out
}

// fromEnvironment is the value of a name that has none. No YAML text has it.
const fromEnvironment = "\x00"

// entries returns those of a map, or of a list of texts with one of the separators.
func (r *composeReader) entries(what string, n *yaml.Node, separators string) [][2]string {
	var out [][2]string
	switch {
	case isNull(n):
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], fromEnvironment
			if !isNull(n.Content[i+1]) {
				value = r.scalar(what+"."+key.Value, n.Content[i+1])
			}
			out = append(out, [2]string{key.Value, value})
		}
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			name, value := r.scalar(what, item), fromEnvironment
			if i := strings.IndexAny(name, separators); i >= 0 {
				name, value = name[:i], name[i+1:]
			}
			out = append(out, [2]string{name, value})
		}
	default:
		r.miss(what + " is neither a map nor a list")
	}
	return out
}

// text returns the value with the defaults of its variables. A variable without a default is
// missing.
func (r *composeReader) text(what, value string) string {
	out, unset := interpolate(value, maxNesting)
	for _, name := range unset {
		r.miss(fmt.Sprintf("%s has the variable %s, whose value isn't known", what, strconv.Quote(name)))
	}
	return out
}

// interpolate puts the defaults of variables in a text: ${NAME:-default}, ${NAME-default}. It
// returns the names of those that have none; they become empty, as in compose. "$$" is "$". depth
// bounds the defaults in defaults.
func interpolate(s string, depth int) (out string, unset []string) {
	if depth == 0 {
		return "", []string{"${...}"}
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		rest := s[i+1:]
		switch rest[0] {
		case '$':
			b.WriteByte('$')
			i++
		case '{':
			end := closing(rest)
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			text, missing := defaultOf(rest[1:end], depth)
			b.WriteString(text)
			unset = append(unset, missing...)
			i += end + 1
		default:
			n := nameLength(rest)
			if n == 0 {
				b.WriteByte('$')
				continue
			}
			unset = append(unset, rest[:n])
			i += n
		}
	}
	return b.String(), unset
}

// closing returns the index of the brace that closes the first one, or -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// defaultOf returns the value of what is between braces, when no variable is set.
func defaultOf(s string, depth int) (text string, unset []string) {
	n := nameLength(s)
	name, rest := s[:n], s[n:]
	for _, op := range []string{":-", "-"} {
		if word, ok := strings.CutPrefix(rest, op); ok {
			return interpolate(word, depth-1)
		}
	}
	return "", []string{name}
}

func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' ||
		n > 0 && s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}
