package main

import (
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

// withFields returns the page with the table of all fields of a policy in its place.
func withFields(page string) (string, error) {
	before, rest, ok := strings.Cut(page, tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !ok || !ended {
		return "", errors.New("the page has no place for the table of fields")
	}
	schema, err := reflectPolicy()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| field | value | meaning |\n|---|---|---|\n")
	writeFields(&b, "", schema)
	return before + tableBegins + b.String() + tableEnds + after, nil
}

func writeFields(b *strings.Builder, prefix string, schema *jsonschema.Schema) {
	for p := schema.Properties.Oldest(); p != nil; p = p.Next() {
		name, field := prefix+p.Key, p.Value
		meaning := strings.ReplaceAll(strings.Join(strings.Fields(field.Description), " "), "|", "\\|")
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value(field), meaning)
		switch {
		case field.Properties != nil:
			writeFields(b, name+".", field)
		case field.Items != nil && field.Items.Properties != nil:
			writeFields(b, name+"[].", field.Items)
		}
	}
}

// value says in a few words what a field takes.
func value(field *jsonschema.Schema) string {
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
		return "list of texts"
	case field.Type == "object" && field.Properties == nil:
		return "texts by name"
	case field.Type == "object":
		return "fields"
	case field.Type == "boolean":
		return "`true` or `false`"
	default:
		return "text"
	}
}
