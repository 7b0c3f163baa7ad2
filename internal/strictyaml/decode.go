package strictyaml

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

	// maxEntries is how many entries a list or a map can have.
	maxEntries = 100_000
)

// label names a value in messages: a field, or an entry of one. It becomes a string only
// for a message, and a good document has none.
type label struct {
	field, entry string
	blank        bool   // the field is a list in which empty strings have a meaning
	boolean      string // what true stands for in a list; "" if it has to be a list
	single       bool   // the field is a list that can be written as its only entry
	short        string // the key of the field whose value can stand for the whole struct, or ""
}

// truth decodes true and false in place of a list that the label allows it for.
func (l label) truth(n *yaml.Node, out reflect.Value) bool {
	if l.boolean == "" || n.Kind != yaml.ScalarNode || n.Tag != boolTag ||
		(n.Value != "true" && n.Value != "false") {
		return false
	}
	list := reflect.MakeSlice(out.Type(), 0, 1)
	if n.Value == "true" {
		list = reflect.Append(list, reflect.ValueOf(l.boolean))
	}
	out.Set(list)
	return true
}

// only decodes the single entry of a list that can be written so.
func (d *Document) only(n *yaml.Node, out reflect.Value, name label) bool {
	if !name.single || n.Kind != yaml.ScalarNode {
		return false
	}
	out.Set(reflect.MakeSlice(out.Type(), 1, 1))
	d.value(n, out.Index(0), label{field: name.field})
	return true
}

// word decodes a single word in place of a mapping, if the struct has a field for that word. It
// reports a problem if the struct has one for another word.
func (d *Document) word(n *yaml.Node, out reflect.Value, name label) bool {
	if n.Kind != yaml.ScalarNode {
		return false
	}
	allowed := []string{"a mapping of fields"}
	for i := range out.NumField() {
		word := out.Type().Field(i).Tag.Get("scalar")
		if word == "" {
			continue
		}
		if n.Value == word && n.Tag != boolTag {
			out.Field(i).SetBool(true)
			return true
		}
		allowed = append(allowed, word)
	}
	if len(allowed) == 1 {
		return false
	}
	d.Problemf(n, "%s must be %s, not %s", name, safetext.Or(allowed), kind(n))
	return true
}

// entriesAlone decodes a list in place of a mapping, if the struct has a field that can be written
// so.
func (d *Document) entriesAlone(n *yaml.Node, out reflect.Value, name label) bool {
	if n.Kind != yaml.SequenceNode || out.Kind() != reflect.Struct {
		return false
	}
	for i := range out.NumField() {
		if out.Type().Field(i).Tag.Get("sequence") == "true" {
			d.sequence(n, out.Field(i), name)
			return true
		}
	}
	return false
}

func (l label) String() string {
	if l.entry == "" {
		return l.field
	}
	return l.field + "[" + safetext.Printable(l.entry) + "]"
}

// value decodes n into out. The YAML library's own Decode isn't used, because it follows
// aliases and merge keys, accepts a key twice, and reports no columns.
//
// The recursion follows the type and not the document, so its depth is bounded.
func (d *Document) value(n *yaml.Node, out reflect.Value, name label) {
	if !d.plain(n) {
		return
	}
	if n.Tag == nullTag {
		d.Problemf(n, "%s has no value; give it one or remove it%s", name, d.commented(n))
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		target := reflect.New(out.Type().Elem())
		if !d.word(n, target.Elem(), name) && !d.entriesAlone(n, target.Elem(), name) {
			d.structure(n, target.Elem(), name)
		}
		out.Set(target)
	case reflect.Struct:
		d.structure(n, out, name)
	case reflect.Slice:
		if !name.truth(n, out) && !d.only(n, out, name) {
			d.sequence(n, out, name)
		}
	case reflect.Map:
		d.entries(n, out, name)
	case reflect.String:
		d.scalar(n, out, name)
	case reflect.Bool:
		value, err := strconv.ParseBool(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != boolTag || err != nil {
			d.Problemf(n, "%s must be true or false, not %s%s", name, kind(n),
				unquoted(n, "true", "false"))
			return
		}
		out.SetBool(value)
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || n.Tag != intTag || err != nil {
			d.Problemf(n, "%s must be an integer, not %s%s", name, kind(n), unquoted(n, n.Value))
			return
		}
		out.SetInt(int64(i))
	default:
		panic("strictyaml: no decoding of " + out.Kind().String())
	}
}

// structure decodes a struct, or its only field if that can be written alone.
func (d *Document) structure(n *yaml.Node, out reflect.Value, name label) {
	if name.short == "" || n.Kind != yaml.ScalarNode {
		d.mapping(n, out, name)
		return
	}
	for _, f := range d.fieldsOf(out.Type()) {
		if f.key == name.short {
			d.value(n, out.FieldByIndex(f.index), label{field: name.field})
		}
	}
}

// plain refuses aliases, anchors and tags.
func (d *Document) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.Problemf(n, "the alias *%s is not allowed; write the value out", safetext.Printable(n.Value))
	case n.Anchor != "":
		d.Problemf(n, "the anchor &%s is not allowed; write the value out where it is needed",
			safetext.Printable(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		d.Problemf(n, "the tag %s is not allowed; write the plain value", safetext.Printable(n.Tag))
	default:
		return true
	}
	return false
}

func (d *Document) mapping(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.MappingNode {
		d.Problemf(n, "%s must be a mapping of fields, not %s", name, kind(n))
		return
	}
	fields := d.fieldsOf(out.Type())
	d.fields(n, func(key, val *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		if i < 0 {
			d.unknown(key, fields)
			return
		}
		f := fields[i]
		d.value(val, out.FieldByIndex(f.index), label{
			field: key.Value, blank: f.blank, boolean: f.boolean, single: f.single, short: f.short,
		})
	})
}

// entries decodes a mapping whose keys are the author's own. Keys, like values, are taken
// as they are written.
func (d *Document) entries(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.MappingNode {
		what := "strings"
		if out.Type().Elem().Kind() == reflect.Int {
			what = "integers"
		}
		d.Problemf(n, "%s must be a mapping of %s, not %s", name, what, kind(n))
		return
	}
	if d.tooMany(n, len(n.Content)/2, name) {
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(n.Content)/2)
	d.fields(n, func(key, val *yaml.Node) {
		if key.Value == "" || key.Tag == nullTag {
			d.Problemf(key, "a name in %s is empty", name)
			return
		}
		value := reflect.New(out.Type().Elem()).Elem()
		d.value(val, value, label{field: name.field, entry: key.Value, blank: name.blank})
		m.SetMapIndex(reflect.ValueOf(key.Value), value)
	})
	out.Set(m)
}

// tooMany refuses a long list or mapping before its entries take memory.
func (d *Document) tooMany(n *yaml.Node, entries int, name label) bool {
	if entries <= maxEntries {
		return false
	}
	d.Problemf(n, "%s has %d entries, more than %d", name, entries, maxEntries)
	return true
}

// fields calls found for each field of a mapping. It refuses a field whose key isn't a
// plain scalar or was there before.
func (d *Document) fields(n *yaml.Node, found func(key, val *yaml.Node)) {
	seen := newLines(len(n.Content) / 2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if !d.plain(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.Problemf(key, "a field's name must be a string, not %s", kind(key))
			continue
		}
		if key.Tag == mergeTag {
			d.Problemf(key, "the merge key << is not allowed; write the fields out")
			continue
		}
		if line := seen.add(key); line > 0 {
			d.Problemf(key, "duplicate field %s; it is already set on line %d", safetext.Quote(key.Value),
				line)
			continue
		}
		found(key, val)
	}
}

func (d *Document) unknown(key *yaml.Node, fields []field) {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	hint := ""
	if near := editdistance.Nearest(key.Value, keys); near != "" {
		hint = "; did you mean " + safetext.Quote(near) + "?"
	}
	d.Problemf(key, "unknown field %s%s", safetext.Quote(key.Value), hint)
}

func (d *Document) sequence(n *yaml.Node, out reflect.Value, name label) {
	if n.Kind != yaml.SequenceNode {
		d.Problemf(n, "%s must be a list, not %s", name, kind(n))
		return
	}
	if d.tooMany(n, len(n.Content), name) {
		return
	}
	if len(n.Content) == 0 { // An empty list isn't nil, as a missing one is.
		out.Set(reflect.MakeSlice(out.Type(), 0, 0))
		return
	}
	out.Grow(len(n.Content))
	out.SetLen(len(n.Content))
	for i, item := range n.Content {
		d.value(item, out.Index(i), label{field: name.field, entry: strconv.Itoa(i), blank: name.blank})
	}
}

// lines are the keys of a mapping so far. Most mappings have few keys, which it searches
// one by one. Those of a large mapping are in a map, so time grows with size only.
type lines struct {
	few  [32]*yaml.Node // an array needs no allocation
	n    int
	many map[string]int
}

func newLines(size int) lines {
	var l lines
	if size > len(l.few) {
		l.many = make(map[string]int, size)
	}
	return l
}

// add returns the line on which the key was before. If it is new, add keeps it and
// returns 0.
func (l *lines) add(key *yaml.Node) int {
	if l.many != nil {
		if line, ok := l.many[key.Value]; ok {
			return line
		}
		l.many[key.Value] = key.Line
		return 0
	}
	for _, k := range l.few[:l.n] {
		if k.Value == key.Value {
			return k.Line
		}
	}
	l.few[l.n] = key
	l.n++
	return 0
}

// scalar decodes a string. A number or a date is taken as it is written: a tag 1.10
// isn't 1.1.
func (d *Document) scalar(n *yaml.Node, out reflect.Value, name label) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.Problemf(n, "%s must be a string, not %s%s", name, kind(n), d.bracketed(n))
	case n.Tag == boolTag:
		d.Problemf(n, "%s must be a string, not %s; put it in quotes", name, kind(n))
	case n.Value == "" && n.Style&(yaml.FoldedStyle|yaml.LiteralStyle) != 0 && !name.blank:
		d.Problemf(n, "%s is empty, because > and | begin a block of text; put the value in quotes",
			name)
	case n.Value == "" && !name.blank:
		d.Problemf(n, "%s is empty; give it a value or remove it", name)
	default:
		out.SetString(n.Value)
	}
}

// unquoted advises to write a value in quotes without them, if it is one of those that are
// wanted.
func unquoted(n *yaml.Node, wanted ...string) string {
	const quotes = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle
	if n.Style&quotes == 0 || !slices.Contains(wanted, n.Value) {
		return ""
	}
	if _, err := strconv.Atoi(n.Value); err != nil && len(wanted) == 1 {
		return ""
	}
	return "; write it without quotes"
}

// commented advises to quote a value that YAML took for a comment.
func (d *Document) commented(n *yaml.Node) string {
	if strings.HasPrefix(strings.TrimLeft(d.text(n), " "), "#") {
		return "; a value that begins with # must be in quotes"
	}
	return ""
}

// bracketed advises to quote an address that YAML took for a list.
func (d *Document) bracketed(n *yaml.Node) string {
	if address.MatchString(d.text(n)) {
		return "; put an address such as [::1] in quotes"
	}
	return ""
}

// text returns the rest of the line at which the node begins.
func (d *Document) text(n *yaml.Node) string {
	lines := strings.SplitN(unixLines(string(d.source)), "\n", n.Line+1)
	if n.Line < 1 || len(lines) < n.Line {
		return ""
	}
	line := []rune(lines[n.Line-1])
	return string(line[min(max(n.Column-1, 0), len(line)):])
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

// field is a field of a struct that documents can set.
type field struct {
	key   string
	index []int // for reflect.Value.FieldByIndex
	blank bool
	// boolean, single and short are those of a label.
	boolean string
	single  bool
	short   string
}

// fieldsOf returns the fields of the struct that have a yaml key, with those of inline
// structs.
func (d *Document) fieldsOf(t reflect.Type) []field {
	if fields, ok := d.types[t]; ok {
		return fields
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, inner := range d.fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case key != "" && key != "-":
			fields = append(fields, field{
				key: key, index: []int{i}, blank: f.Tag.Get("blank") == "true",
				boolean: f.Tag.Get("boolean"), single: f.Tag.Get("single") == "true",
				short: f.Tag.Get("short"),
			})
		}
	}
	d.types[t] = fields
	return fields
}
