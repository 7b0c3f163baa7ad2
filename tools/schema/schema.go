package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	// here is this folder's import path, to which the source's path is relative.
	here = "github.com/policy-frontend/policy-frontend/tools/schema"
	// schemaID names the schema; editors take it from the repository.
	schemaID = "https://raw.githubusercontent.com/policy-frontend/policy-frontend/main/policy/policy.schema.json"
)

// generate returns the JSON Schema of a policy document, from the Go types, their
// tags and the comments on their fields. It reads the source of package policy,
// so that it must run in this module's folder.
func generate() ([]byte, error) {
	schema, err := reflectPolicy()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func reflectPolicy() (*jsonschema.Schema, error) {
	r := jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, ExpandedStruct: true}
	if err := r.AddGoComments(here, "../../policy", jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("reading the comments of package policy: %w", err)
	}
	// Where a comment is wrapped in the source says nothing to an editor's user.
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(comment), " ")
	}
	schema := r.Reflect(&policy.Document{})
	alternatives(schema, reflect.TypeFor[policy.Document]())
	alternatives(schema, reflect.TypeFor[policy.Document]())
	schema.ID = schemaID
	schema.Title = "Policy of the policy frontend"
	schema.Description = "Says which frontends builds can use, and what these can build."
	return schema, nil
}
