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

// composeFile has the parts of a compose file that describe builds (compose-spec, build.md).
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
}

type composeService struct {
	Build    yaml.Node `yaml:"build"`
	Platform string    `yaml:"platform"`
	Extends  yaml.Node `yaml:"extends"`
}

type composeBuild struct {
	Context            string    `yaml:"context"`
	Dockerfile         string    `yaml:"dockerfile"`
	DockerfileInline   yaml.Node `yaml:"dockerfile_inline"`
	Target             string    `yaml:"target"`
	Network            string    `yaml:"network"`
	Args               yaml.Node `yaml:"args"`
	AdditionalContexts yaml.Node `yaml:"additional_contexts"`
	Labels             yaml.Node `yaml:"labels"`
	ExtraHosts         yaml.Node `yaml:"extra_hosts"`
	Platforms          []string  `yaml:"platforms"`
	Ulimits            yaml.Node `yaml:"ulimits"`
}

// compose returns the builds of a compose file.
func (t Tree) compose(name string, data []byte) Found {
	var doc composeFile
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return Found{Problems: []Problem{{File: name, Message: err.Error()}}}
	}
	var found Found
	for _, service := range slices.Sorted(maps.Keys(doc.Services)) {
		s := doc.Services[service]
		origin := fmt.Sprintf("service %q of %s", service, path.Join(t.Dir, name))
		if s.Build.IsZero() {
			continue
		}
		r := composeReader{described: described{
			file: name, origin: origin, line: s.Build.Line, options: map[string]string{},
			contexts: map[string]string{},
		}}
		if err := r.read(&s); err != nil {
			found.add(r.unknown(err.Error()))
			continue
		}
		for _, what := range r.missing {
			found.add(r.unknown(what))
		}
		found.add(t.build(r.described))
	}
	return found
}

type composeReader struct {
	described

	missing []string
}

func (r *composeReader) read(s *composeService) error {
	if s.Build.Kind == yaml.AliasNode {
		s.Build = *s.Build.Alias
	}
	if s.Build.Kind == yaml.ScalarNode {
		r.context = r.text("build", s.Build.Value)
		return nil
	}
	var b composeBuild
	if err := s.Build.Decode(&b); err != nil {
		return err
	}
	if !s.Extends.IsZero() {
		r.missing = append(r.missing, "extends is not read, so other options may be missing")
	}
	r.context = r.text("context", b.Context)
	r.dockerfile = r.text("dockerfile", b.Dockerfile)
	if n := b.DockerfileInline; n.Value != "" {
		r.inline = r.text("dockerfile_inline", n.Value)
		r.inlineLine = n.Line
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			r.inlineLine++
		}
	}
	set := func(key, value string) {
		if value != "" {
			r.options[key] = r.text(key, value)
		}
	}
	set("target", b.Target)
	set("platform", s.Platform)
	set("platform", strings.Join(slices.DeleteFunc(b.Platforms, isLocal), ","))
	if b.Network != "default" {
		set("force-network-mode", b.Network)
	}
	r.pairs(&b.Args, "build-arg:", "=")
	r.pairs(&b.Labels, "label:", "=")
	for _, p := range r.list(&b.AdditionalContexts, "=") {
		r.contexts[p[0]] = r.text("additional_contexts", p[1])
	}
	var hosts []string
	for _, p := range r.list(&b.ExtraHosts, "=:") {
		hosts = append(hosts, p[0]+"="+strings.Trim(r.text("extra_hosts", p[1]), "[]"))
	}
	set("add-hosts", strings.Join(hosts, ","))
	set("ulimit", strings.Join(ulimits(&b.Ulimits), ","))
	return nil
}

// pairs sets options from a map, or from a list of texts such as NAME=VALUE. A name without a value
// takes it from the environment, which isn't known.
func (r *composeReader) pairs(n *yaml.Node, prefix, separators string) {
	for _, p := range r.list(n, separators) {
		if p[1] == fromEnvironment {
			r.missing = append(r.missing, fmt.Sprintf("%s%s comes from the environment", prefix, p[0]))
			continue
		}
		r.options[prefix+p[0]] = r.text(prefix+p[0], p[1])
	}
}

// ulimits returns limits as BuildKit reads them, such as nofile=1024:2048.
func ulimits(n *yaml.Node) []string {
	var out []string
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		limit := struct{ Soft, Hard string }{value.Value, value.Value}
		if value.Kind == yaml.MappingNode && value.Decode(&limit) != nil {
			continue
		}
		out = append(out, name+"="+limit.Soft+":"+limit.Hard)
	}
	return out
}

// fromEnvironment is the value of a name that has none. No YAML text has it.
const fromEnvironment = "\x00"

// list returns the entries of a map, or of a list of texts with one of the separators.
func (r *composeReader) list(n *yaml.Node, separators string) [][2]string {
	return list(n, separators, maxMerges)
}

// maxMerges is how deep maps are merged. A map can name itself.
const maxMerges = 16

func list(n *yaml.Node, separators string, depth int) [][2]string {
	var out [][2]string
	if depth == 0 {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return list(n.Alias, separators, depth-1)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch {
			case key.Value == "<<":
				out = append(list(value, separators, depth-1), out...)
			case value.Tag == "!!null":
				out = append(out, [2]string{key.Value, fromEnvironment})
			default:
				out = append(out, [2]string{key.Value, value.Value})
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			value := fromEnvironment
			name := item.Value
			if i := strings.IndexAny(name, separators); i >= 0 {
				name, value = item.Value[:i], item.Value[i+1:]
			}
			out = append(out, [2]string{name, value})
		}
	}
	return out
}

// text returns the value with the defaults of its variables. A variable without a default is
// missing.
func (r *composeReader) text(what, value string) string {
	out, unset := interpolate(value)
	for _, name := range unset {
		r.missing = append(r.missing,
			fmt.Sprintf("%s has the variable %s, whose value isn't known", what, strconv.Quote(name)))
	}
	return out
}

// interpolate puts the defaults of variables in a text: ${NAME:-default}, ${NAME-default}. It
// returns the names of those that have none; they become empty, as in compose. "$$" is "$".
func interpolate(s string) (out string, unset []string) {
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
			text, missing := defaultOf(rest[1:end])
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
func defaultOf(s string) (text string, unset []string) {
	n := nameLength(s)
	name, rest := s[:n], s[n:]
	for _, op := range []string{":-", "-"} {
		if word, ok := strings.CutPrefix(rest, op); ok {
			return interpolate(word)
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
