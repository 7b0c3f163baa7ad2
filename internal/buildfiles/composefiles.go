package buildfiles

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The files that compose reads if nobody names one: the first of each list that is there
// (cli/options.go in compose-go).
var (
	composeNames = []string{
		"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml",
	}
	composeOverrides = []string{
		"compose.override.yml", "compose.override.yaml", "docker-compose.override.yml",
		"docker-compose.override.yaml",
	}
)

const (
	// maxDocuments bounds the documents of a compose file.
	maxDocuments = 100
	// maxFiles bounds the files that one compose file includes or extends.
	maxFiles = 100
)

// composePair returns the files that compose merges if the name is one of them, or the name alone.
func (t Tree) composePair(name string) []string {
	dir, base := path.Split(name)
	first := func(names []string) string {
		for _, n := range names {
			if info, err := fs.Stat(t.FS, dir+n); err == nil && info.Mode().IsRegular() {
				return n
			}
		}
		return ""
	}
	main, override := first(composeNames), first(composeOverrides)
	if main == "" || override == "" || base != main && base != override {
		return []string{name}
	}
	return []string{dir + main, dir + override}
}

// composing reads one compose file, its override, and the files that they name.
type composing struct {
	tree  Tree
	files map[string]composeFile
	// from has the file of each service, build, context and inline build file.
	from   map[*yaml.Node]string
	wholes map[*yaml.Node]extended
	// included has the files that were included, so that each is once.
	included map[string]bool
	env      environment // of the files that are read now
	// nodes counts those of all files, and those that are merged.
	nodes int
	found Found
}

// composeFile is what a file has: a root for each document.
type composeFile struct {
	roots []*yaml.Node
	err   error
}

// composed are services, and what isn't known about each.
type composed struct {
	services map[string]*yaml.Node
	missing  map[string][]string
}

// extended is a service with what it extends.
type extended struct {
	node    *yaml.Node
	missing []string
}

// compose returns the builds of compose files that are merged in their order.
func (t Tree) compose(names []string) Found {
	c := composing{
		tree: t, files: map[string]composeFile{}, from: map[*yaml.Node]string{},
		wholes: map[*yaml.Node]extended{}, included: map[string]bool{},
	}
	c.read(names)
	return c.found
}

// unknown says what isn't known about a file.
func (c *composing) unknown(file string, line int, message string) {
	if len(c.found.Problems) < maxUnknown {
		c.found.Problems = append(c.found.Problems, Problem{
			File: file, Line: line, Message: message, Unknown: true,
		})
	}
}

// read adds the builds of files that are merged, and of those that they include.
func (c *composing) read(names []string) {
	above := c.env
	var err error
	if c.env, err = c.tree.environ(path.Dir(names[0]), above); err != nil {
		c.unknown(names[0], 0, "the file .env beside it can't be read: "+err.Error())
	}
	defer func() { c.env = above }()
	all := composed{map[string]*yaml.Node{}, map[string][]string{}}
	for i, name := range names {
		c.included[name] = true
		file := c.file(name)
		if file.err != nil {
			if i > 0 || !errors.Is(file.err, errDirectory) {
				c.found.Problems = append(c.found.Problems, c.problem(name, file.err))
			}
			continue
		}
		for _, root := range file.roots {
			c.merge(&all, name, root)
		}
	}
	for _, service := range slices.Sorted(maps.Keys(all.services)) {
		c.found.add(c.service(names[0], service, all.services[service], all.missing[service]))
	}
	for _, name := range names {
		for _, root := range c.files[name].roots {
			c.include(name, fieldsIn(root)["include"])
		}
	}
}

// problem says why a file can't be read. That it is too large is no error of the file.
func (*composing) problem(name string, err error) Problem {
	p := problemOf(name, err)
	p.Unknown = errors.Is(err, errNodes) || errors.Is(err, errDepth) || errors.Is(err, errMerge)
	return p
}

// merge adds the services of a document. Those that extend others do so before they are merged.
func (c *composing) merge(all *composed, name string, root *yaml.Node) {
	fields := fieldsIn(root)
	services := fieldsIn(fields["services"])
	if n := fields["services"]; services == nil && !isNull(n) {
		c.unknown(name, n.Line, "services isn't a map")
	}
	for service, n := range services {
		own := c.whole(name, services, n, maxDepth)
		note := func(what string) { own.missing = append(own.missing, what) }
		all.services[service] = c.mergeService(all.services[service], own.node, note)
		all.missing[service] = append(all.missing[service], own.missing...)
	}
}

// file reads a file, once.
func (c *composing) file(name string) composeFile {
	if f, ok := c.files[name]; ok {
		return f
	}
	var f composeFile
	data, err := c.tree.read(name)
	if err == nil {
		f.roots, err = c.parse(name, data)
	}
	f.err = err
	c.files[name] = f
	return f
}

// parse returns the documents of a file, without aliases and merges.
func (c *composing) parse(name string, data []byte) ([]*yaml.Node, error) {
	var out []*yaml.Node
	x := expander{nodes: c.nodes} // all documents share its bounds
	defer func() { c.nodes = x.nodes }()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			if len(x.tags) > 0 {
				c.unknown(name, 0, "the tag "+x.tags[0]+" is not read, so options may be other ones")
			}
			return out, nil
		case err != nil:
			return nil, err
		case len(doc.Content) != 1:
			continue
		case len(out) == maxDocuments:
			c.unknown(name, doc.Line, fmt.Sprintf("it has more than %d documents", maxDocuments))
			return out, nil
		}
		root, err := x.expand(doc.Content[0], 0)
		if err != nil {
			return nil, err
		}
		c.place(name, root)
		out = append(out, root)
	}
}

// place keeps where the parts of services are from.
func (c *composing) place(name string, root *yaml.Node) {
	for _, service := range fieldsIn(fieldsIn(root)["services"]) {
		build := fieldsIn(service)["build"]
		parts := fieldsIn(build)
		for _, n := range []*yaml.Node{service, build, parts["context"], parts["dockerfile_inline"]} {
			if n != nil {
				c.from[n] = name
			}
		}
	}
}

// whole returns a service with what it extends. depth bounds services that extend others.
func (c *composing) whole(
	file string, services map[string]*yaml.Node, own *yaml.Node, depth int,
) extended {
	n := fieldsIn(own)["extends"]
	if isNull(n) {
		return extended{node: own}
	}
	if done, ok := c.wholes[own]; ok {
		return done
	}
	missed := func(why string) extended {
		return extended{own, []string{"what it extends can't be read: " + why}}
	}
	c.wholes[own] = missed("it extends itself")
	out := func() extended {
		if depth == 0 {
			return missed("it is nested too deep")
		}
		service, from, why := c.extends(file, n)
		if why != "" {
			return missed(why)
		}
		if from != file {
			services = map[string]*yaml.Node{}
			f := c.file(from)
			if f.err != nil {
				return missed(from + ": " + f.err.Error())
			}
			for _, root := range f.roots {
				maps.Copy(services, fieldsIn(fieldsIn(root)["services"]))
			}
			if len(f.roots) > 1 {
				return missed(from + " has several documents")
			}
		}
		parent := services[service]
		if parent == nil {
			return missed("there is no service " + strconv.Quote(service) + " in " + from)
		}
		base := c.whole(from, services, parent, depth-1)
		missing := slices.Clone(base.missing)
		node := c.mergeService(base.node, own, func(what string) { missing = append(missing, what) })
		return extended{node, missing[:min(len(missing), maxUnknown)]}
	}()
	c.wholes[own] = out
	return out
}

// extends returns the service that is extended, and its file; or why it isn't known.
func (c *composing) extends(file string, n *yaml.Node) (service, from, why string) {
	if n.Kind == yaml.ScalarNode {
		return n.Value, file, ""
	}
	parts := fieldsIn(n)
	name := parts["service"]
	if isNull(name) || name.Kind != yaml.ScalarNode {
		return "", "", "it names no service"
	}
	if isNull(parts["file"]) {
		return name.Value, file, ""
	}
	from, why = c.named(file, parts["file"])
	return name.Value, from, why
}

// named returns a file that another one names, relative to its directory; or why it isn't known.
func (c *composing) named(by string, n *yaml.Node) (name, why string) {
	if n.Kind != yaml.ScalarNode {
		return "", "the file isn't a text"
	}
	text, unset := c.env.interpolate(n.Value, maxNesting)
	name = path.Join(path.Dir(by), text)
	switch {
	case len(unset) > 0:
		return "", "the file's name has the variable " + strconv.Quote(unset[0])
	case isRemote(text) || strings.Contains(text, "://"):
		return "", text + " can't be read offline"
	case path.IsAbs(text) || name == ".." || strings.HasPrefix(name, "../"):
		return "", text + " is outside of the directory that is checked"
	case len(c.files) >= maxFiles && c.files[name].roots == nil:
		return "", fmt.Sprintf("it names more than %d files", maxFiles)
	}
	return name, ""
}

// include adds the builds of the files that a file includes.
func (c *composing) include(file string, n *yaml.Node) {
	if isNull(n) {
		return
	}
	missed := func(line int, why string) {
		c.unknown(file, line, "include can't be read, so builds may be missing: "+why)
	}
	if n.Kind != yaml.SequenceNode {
		missed(n.Line, "it isn't a list")
		return
	}
	for _, entry := range n.Content {
		paths := []*yaml.Node{entry}
		if parts := fieldsIn(entry); parts != nil {
			paths = []*yaml.Node{parts["path"]}
			if !isNull(parts["project_directory"]) || !isNull(parts["env_file"]) {
				missed(entry.Line, "it has a project_directory or an env_file")
				continue
			}
			if p := parts["path"]; p != nil && p.Kind == yaml.SequenceNode {
				paths = p.Content
			}
		}
		if why := c.includeFiles(file, paths); why != "" {
			missed(entry.Line, why)
		}
	}
}

// includeFiles adds the builds of files that are merged; or it returns why they aren't known.
func (c *composing) includeFiles(by string, paths []*yaml.Node) (why string) {
	var names []string
	for _, p := range paths {
		if isNull(p) {
			return "it has no path"
		}
		name, why := c.named(by, p)
		if why != "" {
			return why
		}
		if len(names) > 0 && path.Dir(name) != path.Dir(names[0]) {
			return "its files are in several directories"
		}
		if err := c.file(name).err; err != nil {
			return name + ": " + err.Error()
		}
		names = append(names, name)
	}
	if len(names) > 0 && !c.included[names[0]] {
		c.read(names)
	}
	return ""
}

// mergeService returns a service with what a later description changes. It has the parts that
// matter for a build.
func (c *composing) mergeService(base, over *yaml.Node, note func(string)) *yaml.Node {
	if isNull(base) {
		return over
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: base.Line, Column: base.Column}
	c.from[out] = c.from[base]
	b, o := fieldsIn(base), fieldsIn(over)
	// Each service that extends another one has its parts once more.
	if c.nodes <= maxNodes {
		c.nodes += size(b["build"])
	}
	if c.nodes > maxNodes {
		note(errNodes.Error())
		return over
	}
	for _, key := range []string{"platform", "build"} {
		if value := c.mergeNodes(key, b[key], o[key], note); value != nil {
			out.Content = append(out.Content, textNode(key, over.Line), value)
		}
	}
	return out
}

// size returns how many nodes a value has.
func size(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	out := 1
	for _, part := range n.Content {
		out += size(part)
	}
	return out
}

func textNode(text string, line int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: line}
}

// composeLists are maps that compose takes for lists of texts when it merges them.
var composeLists = []string{"args", "labels", "additional_contexts", "extra_hosts"}

// mergeNodes merges two values as compose does (override/merge.go in compose-go): maps by key,
// lists one after the other, and of texts the later one. note gets what can't be merged.
func (c *composing) mergeNodes(key string, base, over *yaml.Node, note func(string)) *yaml.Node {
	switch {
	case isNull(base):
		return over
	case over == nil:
		return base
	case isNull(over):
		note(key + " is null in a later description")
		return base
	case key == "build":
		base, over = c.longBuild(base), c.longBuild(over)
	case slices.Contains(composeLists, key):
		base, over = sequence(base), sequence(over)
	}
	switch {
	case base.Kind != over.Kind:
		note(key + " has several forms, which can't be merged")
		return over
	case base.Kind == yaml.SequenceNode:
		out := *base
		out.Content = slices.Concat(base.Content, over.Content)
		return &out
	case base.Kind != yaml.MappingNode:
		return over
	}
	out := *base
	c.from[&out] = c.from[base]
	out.Content = nil
	later := fieldsIn(over)
	for i := 0; i+1 < len(base.Content); i += 2 {
		k := base.Content[i]
		value := c.mergeNodes(k.Value, base.Content[i+1], later[k.Value], note)
		out.Content = append(out.Content, k, value)
		delete(later, k.Value)
	}
	for i := 0; i+1 < len(over.Content); i += 2 {
		if k := over.Content[i]; later[k.Value] != nil {
			out.Content = append(out.Content, k, over.Content[i+1])
		}
	}
	return &out
}

// longBuild returns the long form of a build: {context: DIR}.
func (c *composing) longBuild(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.ScalarNode {
		return n
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column}
	out.Content = []*yaml.Node{textNode("context", n.Line), n}
	c.from[out] = c.from[n]
	return out
}

// sequence returns a map of texts as a list of NAME=VALUE, and anything else as it is.
func sequence(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: n.Line, Column: n.Column}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		item := textNode(key.Value, key.Line)
		switch {
		case isNull(value):
		case value.Kind != yaml.ScalarNode:
			item = value // which isn't a text, as the reader of the list says
		default:
			item.Value += "=" + value.Value
		}
		out.Content = append(out.Content, item)
	}
	return out
}
