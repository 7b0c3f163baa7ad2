package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"
)

// The table of fields stands between these two lines.
const (
	tableBegins = "<!-- fields: generated from the Go types by `make schema` -->\n"
	tableEnds   = "<!-- end of fields -->\n"
)

// withFields returns the page with the table of all fields of a schema in its place.
func withFields(page string, reflect func() (*jsonschema.Schema, error)) (string, error) {
	before, rest, ok := strings.Cut(page, tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !ok || !ended {
		return "", errors.New("the page has no place for the table of fields")
	}
	schema, err := reflect()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| field | value | meaning |\n|---|---|---|\n")
	if err := writeFields(&b, "", schema, schema); err != nil {
		return "", err
	}
	return before + tableBegins + b.String() + tableEnds + after, nil
}

// writeFields writes a line for each field below the schema. A field that has the
// same fields as one of the policy's own says so, rather than that they are there twice.
func writeFields(b *strings.Builder, prefix string, schema, root *jsonschema.Schema) error {
	for p := schema.Properties.Oldest(); p != nil; p = p.Next() {
		name, field, what := prefix+p.Key, p.Value, value(p.Value)
		again, err := repeats(root, prefix, p.Key, field)
		if err != nil {
			return err
		}
		if again {
			what = fmt.Sprintf("fields of `%s`", p.Key)
		}
		listed := lists(schema, field)
		if listed {
			what = "list of such fields"
		}
		meaning := strings.ReplaceAll(strings.Join(strings.Fields(field.Description), " "), "|", "\\|")
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, what, meaning)
		switch {
		case again, listed:
		case field.Properties != nil:
			err = writeFields(b, name+".", field, root)
		case field.Items != nil && field.Items.Properties != nil:
			err = writeFields(b, name+"[].", field.Items, root)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repeats reports whether the field below the prefix has the fields of the
// policy's own field of that name.
func repeats(root *jsonschema.Schema, prefix, key string, field *jsonschema.Schema) (bool, error) {
	own, ok := root.Properties.Get(key)
	if prefix == "" || !ok || field.Properties == nil {
		return false, nil
	}
	one, err := json.Marshal(own.Properties)
	if err != nil {
		return false, err
	}
	other, err := json.Marshal(field.Properties)
	return bytes.Equal(one, other), err
}

// lists reports whether the field is a list of mappings of fields that stand beside it.
func lists(schema, field *jsonschema.Schema) bool {
	if field.Items == nil || field.Items.Properties == nil {
		return false
	}
	for p := field.Items.Properties.Oldest(); p != nil; p = p.Next() {
		beside, ok := schema.Properties.Get(p.Key)
		if !ok || beside.Description != p.Value.Description {
			return false
		}
	}
	return true
}

// value says in a few words what a field takes.
func value(field *jsonschema.Schema) string {
	if len(field.AnyOf) > 0 {
		first, second := *field, *field.AnyOf[1]
		first.AnyOf, first.Type = nil, field.AnyOf[0].Type
		var words []string
		list := ""
		for _, other := range field.AnyOf[1:] {
			if word, ok := other.Const.(string); ok {
				words = append(words, "`"+word+"`")
			} else {
				list = ", list"
			}
		}
		if words != nil {
			last := len(words) - 1
			between := strings.Join(append([]string{""}, words[:last]...), ", ")
			return value(&first) + between + list + " or " + words[last]
		}
		return value(&first) + ", " + value(&second)
	}
	switch {
	case len(field.Enum) > 0:
		words := make([]string, len(field.Enum))
		for i, v := range field.Enum {
			words[i] = fmt.Sprintf("`%v`", v)
		}
		return strings.Join(words, " or ")
	case field.Type == "array" && field.Items.Properties != nil:
		return "list"
	case field.Type == "array":
		return "list of strings"
	case field.Type == "object" && field.Properties == nil &&
		field.AdditionalProperties.Type == "integer":
		return "map of integers"
	case field.Type == "object" && field.Properties == nil:
		return "map of strings"
	case field.Type == "object":
		return "fields"
	case field.Format == "date-time":
		return "time"
	case field.Type == "number":
		return "number"
	case field.Type == "boolean":
		return "`true` or `false`"
	case field.Type == "integer":
		return "integer"
	default:
		return "string"
	}
}
