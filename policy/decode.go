package policy

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/editdistance"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	nullTag  = "!!null"
	boolTag  = "!!bool"
	intTag   = "!!int"
	mergeTag = "!!merge"

	// maxEntries is how many entries a list or a mapping of the author's own keys has
	// at most.
	maxEntries = 100_000
)

// decode fills the struct that out points to from the node. yaml.Node's own
// Decode isn't used because it follows aliases and merge keys, takes keys twice
// and gives no columns.
func (d *decoder) decode(n *yaml.Node, out any) {
	d.value(n, reflect.ValueOf(out).Elem(), "the policy")
}

// label says in messages what a value is: a field, or an entry of one. It becomes
// a text only for a message, of which a good document has none. A field with the
// tag blank:"true" may have empty texts: it is a list in which they mean something.
type label struct {
	field, entry string
	blank        bool
}

func (l label) String() string {
	if l.entry == "" {
		return l.field
	}
	return l.field + "[" + safetext.Printable(l.entry) + "]"
}

// value decodes n into out; the name says in messages what it is.
func (d *decoder) value(n *yaml.Node, out reflect.Value, name string) {
	d.labelled(n, out, label{field: name})
}

// labelled follows the type and not the document, so that no document makes it
// recurse deep.
func (d *decoder) labelled(n *yaml.Node, out reflect.Value, name label) {
	if !d.plain(n) {
		return
	}
	if n.Tag == nullTag {
		d.addf(n, "%s has no value; give it one or remove it", name)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		target := reflect.New(out.Type().Elem())
		d.mapping(n, target.Elem(), name)
		out.Set(target)
	case reflect.Struct:
		d.mapping(n, out, name)
	case reflect.Slice:
		d.sequence(n, out, name)
	case reflect.Map:
		d.entries(n, out, name)
	case reflect.String:
		d.scalar(n, out, name)
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Tag != boolTag || (n.Value != "true" && n.Value != "false") {
			d.addf(n, "%s must be true or false, not %s", name, kind(n))
			return
		}
		out.SetBool(n.Value == "true")
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != intTag || err != nil {
			d.addf(n, "%s must be a whole number, not %s", name, kind(n))
			return
		}
		out.SetInt(int64(i))
	default:
		panic("policy: no decoding of " + out.Kind().String())
	}
}

// plain refuses what is more than data, because a reader easily misses what it does.
func (d *decoder) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.addf(n, "the alias *%s is not allowed; write the value out", safetext.Printable(n.Value))
	case n.Anchor != "":
		d.addf(n, "the anchor &%s is not allowed; write the value out where it is needed", safetext.Printable(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		d.addf(n, "the tag %s is not allowed; write the plain value", safetext.Printable(n.Tag))
	default:
		return true
	}
	return false
}

func (d *decoder) mapping(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.MappingNode {
		d.addf(n, "%s must be a mapping of fields, not %s", name, kind(n))
		return
	}
	keys := d.keys(out.Type())
	d.fields(n, func(key, val *yaml.Node) {
		index := slices.Index(keys, key.Value)
		if index < 0 || key.Value == "" {
			d.unknown(key, keys)
			return
		}
		blank := out.Type().Field(index).Tag.Get("blank") == "true"
		d.labelled(val, out.Field(index), label{field: key.Value, blank: blank})
	})
}

// entries decodes a mapping whose keys are the author's own. A key is taken as it
// is written, as a value is.
func (d *decoder) entries(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.MappingNode {
		what := "texts"
		if out.Type().Elem().Kind() == reflect.Int {
			what = "whole numbers"
		}
		d.addf(n, "%s must be a mapping of %s, not %s", name, what, kind(n))
		return
	}
	if d.tooMany(n, len(n.Content)/2, name) {
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(n.Content)/2)
	d.fields(n, func(key, val *yaml.Node) {
		if key.Value == "" || key.Tag == nullTag {
			d.addf(key, "a name in %s is empty", name)
			return
		}
		value := reflect.New(out.Type().Elem()).Elem()
		d.labelled(val, value, label{field: name.field, entry: key.Value})
		m.SetMapIndex(reflect.ValueOf(key.Value), value)
	})
	out.Set(m)
}

// tooMany refuses a list or mapping before a few bytes for each entry become a
// large rule.
func (d *decoder) tooMany(n *yaml.Node, entries int, name label) bool {
	if entries <= maxEntries {
		return false
	}
	d.addf(n, "%s has %d entries, more than %d", name, entries, maxEntries)
	return true
}

// fields calls found for each field of a mapping, after it has refused those that
// have no plain name or one that was there before.
func (d *decoder) fields(n *yaml.Node, found func(key, val *yaml.Node)) {
	seen := newLines(len(n.Content) / 2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if !d.plain(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.addf(key, "a field's name must be a text, not %s", kind(key))
			continue
		}
		if key.Tag == mergeTag {
			d.addf(key, "the merge key << is not allowed; write the fields out")
			continue
		}
		if line := seen.add(key); line > 0 {
			d.addf(key, "duplicate field %s; it is already set on line %d", safetext.Quote(key.Value), line)
			continue
		}
		found(key, val)
	}
}

func (d *decoder) unknown(key *yaml.Node, keys []string) {
	hint := ""
	if near := editdistance.Nearest(key.Value, keys); near != "" {
		hint = "; did you mean " + safetext.Quote(near) + "?"
	}
	d.addf(key, "unknown field %s%s", safetext.Quote(key.Value), hint)
}

func (d *decoder) sequence(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.SequenceNode {
		d.addf(n, "%s must be a list, not %s", name, kind(n))
		return
	}
	if d.tooMany(n, len(n.Content), name) {
		return
	}
	list := reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.labelled(item, list.Index(i), label{field: name.field, entry: strconv.Itoa(i), blank: name.blank})
	}
	out.Set(list)
}

// lines are the keys of a mapping so far. Few are looked through, as most mappings
// have few; many are in a map, so that none takes longer than its size.
type lines struct {
	few  []*yaml.Node
	many map[string]int
}

func newLines(size int) *lines {
	if size > 32 {
		return &lines{many: make(map[string]int, size)}
	}
	return &lines{few: make([]*yaml.Node, 0, size)}
}

// add returns the line of the same key before, or 0 after it has added the key.
func (l *lines) add(key *yaml.Node) int {
	if l.many != nil {
		if line, ok := l.many[key.Value]; ok {
			return line
		}
		l.many[key.Value] = key.Line
		return 0
	}
	for _, k := range l.few {
		if k.Value == key.Value {
			return k.Line
		}
	}
	l.few = append(l.few, key)
	return 0
}

// scalar takes a number or a date as it is written: a tag 1.10 is not 1.1.
func (d *decoder) scalar(n *yaml.Node, out reflect.Value, name label) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.addf(n, "%s must be a text, not %s", name, kind(n))
	case n.Tag == boolTag:
		d.addf(n, "%s must be a text, not %s; put it in quotes", name, kind(n))
	case n.Value == "" && !name.blank:
		d.addf(n, "%s is empty; give it a value or remove it", name)
	default:
		out.SetString(n.Value)
	}
}

// kind names a node for messages.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return safetext.Quote(n.Value)
	}
	return "this"
}

// keys returns the yaml key of each field of the struct; "" for a field that has
// none and so is no part of the document.
func (d *decoder) keys(t reflect.Type) []string {
	if keys, ok := d.types[t]; ok {
		return keys
	}
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i], _, _ = strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
	}
	d.types[t] = keys
	return keys
}
