package main

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// alternatives adds what documents can have in place of a mapping or a list, as the tags scalar,
// boolean, short and sequence of package strictyaml say. The tag entries lists the only entries
// that a field and its rules can have. The properties stay where they are; they say nothing about a
// value of another type.
func alternatives(schema *jsonschema.Schema, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			schema = schema.Items
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || schema == nil || schema.Properties == nil {
		return
	}
	for f := range t.Fields() {
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			alternatives(schema, f.Type)
			continue
		}
		property, ok := schema.Properties.Get(key)
		if !ok {
			continue
		}
		alternatives(property, f.Type)
		limitEntries(property, f.Tag.Get("entries"))
		var other []*jsonschema.Schema
		for _, word := range wordsFor(f.Type) {
			other = append(other, &jsonschema.Schema{Const: word})
		}
		if list := listFor(property, f.Type); list != nil {
			other = append(other, list)
		}
		if short := f.Tag.Get("short"); short != "" {
			other = append(other, undescribed(property.Properties.Value(short)))
		}
		if f.Tag.Get("boolean") != "" {
			other = append(other, &jsonschema.Schema{Type: "boolean"})
		}
		if other != nil {
			either(property, other...)
		}
	}
}

func either(schema *jsonschema.Schema, other ...*jsonschema.Schema) {
	if schema.AnyOf != nil {
		return // The build of a rule and that of the policy are one schema.
	}
	schema.AnyOf = append([]*jsonschema.Schema{{Type: schema.Type}}, other...)
	schema.Type = ""
}

// wordsFor returns the words of which documents can have one in place of the struct.
func wordsFor(t reflect.Type) []string {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	var words []string
	for f := range t.Elem().Fields() {
		if word := f.Tag.Get("scalar"); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// listFor returns the schema of the list that documents can have in place of the struct, or nil. It
// is that of one of the struct's fields.
func listFor(schema *jsonschema.Schema, t reflect.Type) *jsonschema.Schema {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Elem().Fields() {
		if f.Tag.Get("sequence") != "true" {
			continue
		}
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if field, ok := schema.Properties.Get(key); ok {
			return undescribed(field)
		}
	}
	return nil
}

// undescribed returns a copy of the schema of a field, which can change later.
func undescribed(field *jsonschema.Schema) *jsonschema.Schema {
	var list jsonschema.Schema
	if data, err := json.Marshal(field); err != nil || json.Unmarshal(data, &list) != nil {
		return nil
	}
	list.Description = ""
	return &list
}

// limitEntries lets the lists of a field, and those of its rules, have only these entries.
func limitEntries(field *jsonschema.Schema, entries string) {
	if entries == "" {
		return
	}
	var words []any
	for word := range strings.SplitSeq(entries, ",") {
		words = append(words, word)
	}
	rules := field.Properties.Value("rules")
	for _, fields := range []*jsonschema.Schema{field, rules.Items} {
		for _, list := range []string{"allow", "deny"} {
			fields.Properties.Value(list).Items.Enum = words
		}
	}
}
