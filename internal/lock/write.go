package lock

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
)

// pin writes pins into an existing alias.
func (e *editor) pin(alias *yaml.Node, g group) error {
	pins := strictyaml.Child(alias, "pins")
	var added group
	for _, p := range g {
		var old *yaml.Node
		if pins != nil {
			old = strictyaml.Child(pins, p.Tag)
		}
		if old == nil {
			added = append(added, p)
			continue
		}
		start, err := e.start(old)
		if err != nil {
			return err
		}
		end, err := e.end(old)
		if err != nil {
			return err
		}
		e.replace(start, end, strings.Replace(string(e.data[start:end]), old.Value, p.New.String(), 1))
	}
	switch {
	case len(added) == 0:
		return nil
	case pins == nil && flow(alias):
		return e.append(alias, quotedLike(alias, "pins")+": "+flowPins(added))
	case pins == nil:
		return e.append(alias, "pins:"+e.blockPins(added, alias.Column+1))
	case flow(pins):
		inside := strings.TrimSuffix(strings.TrimPrefix(flowPins(added), "{"), "}")
		return e.append(pins, inside)
	}
	return e.append(pins, strings.TrimPrefix(e.blockPins(added, pins.Column-1),
		e.newline+spaces(pins.Column-1)))
}

// append writes an entry after the last one of a list or mapping, which must have one.
func (e *editor) append(n *yaml.Node, entry string) error {
	if len(n.Content) == 0 {
		return e.unreadable(n)
	}
	at, err := e.end(n.Content[len(n.Content)-1])
	if err != nil {
		return err
	}
	if flow(n) {
		e.insert(at, ", "+entry)
		return nil
	}
	e.insert(e.lineEnd(at), e.newline+spaces(n.Column-1)+entry)
	return nil
}

// add writes a new alias into the list of aliases.
func (e *editor) add(list *yaml.Node, g group) error {
	if g[0].Before == nil {
		if flow(list) {
			return e.append(list, flowAlias(g))
		}
		return e.append(list, e.blockAlias(g, list.Column-1))
	}
	i := e.index(list, g[0].Before.Line(), g[0].Before.Column())
	if i < 0 {
		return fmt.Errorf("the alias is no longer on line %d", g[0].Before.Line())
	}
	at, err := e.start(list.Content[i])
	if err != nil {
		return err
	}
	if flow(list) {
		e.insert(at, flowAlias(g)+", ")
		return nil
	}
	e.insert(e.above(at), spaces(list.Column-1)+e.blockAlias(g, list.Column-1)+e.newline)
	return nil
}

// create writes a list of aliases into a document without one, before its rules.
func (e *editor) create() error {
	if len(e.made) == 0 {
		return nil
	}
	key := keyIndex(e.root, "frontends")
	if key < 0 {
		key = keyIndex(e.root, "include")
	}
	if key < 0 {
		return errors.New("the document has neither rules nor included files")
	}
	at, err := e.start(e.root.Content[key])
	if err != nil {
		return err
	}
	if flow(e.root) {
		items := make([]string, len(e.made))
		for i, g := range e.made {
			items[i] = flowAlias(g)
		}
		separator := " "
		if before, ok := e.alone(at); ok {
			separator = e.newline + before
		}
		e.insert(at, `"aliases": [`+strings.Join(items, ", ")+"],"+separator)
		return nil
	}
	depth := e.root.Column - 1
	var b strings.Builder
	b.WriteString(spaces(depth) + "aliases:" + e.newline)
	for _, g := range e.made {
		b.WriteString(spaces(depth+2) + e.blockAlias(g, depth+2) + e.newline)
	}
	above := e.above(at)
	if bytes.HasSuffix(e.data[:above], []byte(e.newline+e.newline)) {
		b.WriteString(e.newline) // Keep the empty line before the rules.
	}
	e.insert(above, b.String())
	return nil
}

// blockAlias writes an alias as an entry of a list in block style. The list's dashes are
// indented by depth characters.
func (e *editor) blockAlias(g group, depth int) string {
	indent := e.newline + spaces(depth+2)
	return "- from: " + blockName(g[0].From) + indent + "to: " + blockName(g[0].To) + indent +
		"pins:" + e.blockPins(g, depth+4)
}

// blockPins writes each pin on its own line, indented by depth characters.
func (e *editor) blockPins(g group, depth int) string {
	var b strings.Builder
	for _, p := range g {
		b.WriteString(e.newline + spaces(depth) + strconv.Quote(p.Tag) + ": " + p.New.String())
	}
	return b.String()
}

// In flow style, every string is quoted, since the document may be JSON.

func flowAlias(g group) string {
	return fmt.Sprintf(`{"from": %q, "to": %q, "pins": %s}`, g[0].From, g[0].To, flowPins(g))
}

func flowPins(g group) string {
	items := make([]string, len(g))
	for i, p := range g {
		items[i] = fmt.Sprintf("%q: %q", p.Tag, p.New)
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// quotedLike returns the key, quoted if the mapping's first key is.
func quotedLike(n *yaml.Node, key string) string {
	if n.Content[0].Style&yaml.DoubleQuotedStyle != 0 {
		return strconv.Quote(key)
	}
	return key
}

// blockName returns a repository's name for block style, quoted if necessary.
func blockName(s string) string {
	if regexp.MustCompile(`^[a-z0-9][a-z0-9._:-]*/[a-z0-9._/-]+$`).MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

func flow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }
