package main

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// alternatives adds what documents can have in place of a mapping or a list, as the tags scalar,
// boolean and sequence of package strictyaml say. The properties stay where they are; they say
// nothing about a value of another type.
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
		var other []*jsonschema.Schema
		for _, word := range wordsFor(f.Type) {
			other = append(other, &jsonschema.Schema{Const: word})
		}
		if list := listFor(property, f.Type); list != nil {
			other = append(other, list)
		}
		switch {
		case other != nil:
			either(property, other...)
		case f.Tag.Get("boolean") != "":
			either(property, &jsonschema.Schema{Type: "boolean"})
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
			var list jsonschema.Schema // a copy, since the schema of the field changes later
			if data, err := json.Marshal(field); err != nil || json.Unmarshal(data, &list) != nil {
				return nil
			}
			list.Description = ""
			return &list
		}
	}
	return nil
}
