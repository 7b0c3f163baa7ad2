package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

const (
	// here is this folder's import path, to which the source's path is relative.
	here         = "github.com/policy-frontend/policy-frontend/tools/schema"
	operationsID = "https://raw.githubusercontent.com/policy-frontend/policy-frontend/main/internal/opcheck/operations.schema.json"
	casesID      = "https://raw.githubusercontent.com/policy-frontend/policy-frontend/main/internal/policytest/test.schema.json"
	// schemaID names the schema; editors take it from the repository.
	schemaID = "https://raw.githubusercontent.com/policy-frontend/policy-frontend/main/policy/policy.schema.json"
	recordID = "https://raw.githubusercontent.com/policy-frontend/policy-frontend/main/internal/record/record.schema.json"
)

// generated are the schemas of all kinds of documents, by the file that each is written to.
func generated() (map[string][]byte, error) {
	out := map[string][]byte{}
	for file, reflect := range map[string]func() (*jsonschema.Schema, error){
		target: reflectPolicy, operations: reflectOperations, cases: reflectCases,
		entries: reflectRecord,
	} {
		schema, err := reflect()
		if err != nil {
			return nil, err
		}
		if file != entries { // which a program writes
			takeNumbers(schema)
		}
		var data bytes.Buffer
		enc := json.NewEncoder(&data)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(schema); err != nil {
			return nil, err
		}
		out[file] = data.Bytes()
	}
	return out, nil
}

// newReflector returns what makes schemas from Go types, their tags and the comments on their
// fields. It reads the source, so that it must run in this module's folder.
func newReflector() (*jsonschema.Reflector, error) {
	r := &jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, ExpandedStruct: true}
	for _, folder := range []string{
		"../../policy", "../../internal/policytest", "../../internal/record",
	} {
		if err := r.AddGoComments(here, folder, jsonschema.WithFullComment()); err != nil {
			return nil, fmt.Errorf("reading the comments of %s: %w", folder, err)
		}
	}
	// Where a comment is wrapped in the source says nothing to an editor's user.
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = strings.Join(strings.Fields(comment), " ")
	}
	return r, nil
}

func reflectPolicy() (*jsonschema.Schema, error) {
	r, err := newReflector()
	if err != nil {
		return nil, err
	}
	schema := r.Reflect(&policy.Document{})
	alternatives(schema, reflect.TypeFor[policy.Document]())
	schema.ID = schemaID
	schema.Title = "Policy of the policy frontend"
	schema.Description = "Says which frontends builds can use, and what these can build."
	return schema, nil
}

// reflectOperations returns the schema of a file of operations.
func reflectOperations() (*jsonschema.Schema, error) {
	r, err := newReflector()
	if err != nil {
		return nil, err
	}
	operation := r.Reflect(&buildrules.Operation{})
	operation.Version = ""
	operation.MinProperties, operation.MaxProperties = ptr(1), ptr(1)
	return &jsonschema.Schema{
		Version: jsonschema.Version, ID: operationsID, Type: "array", Items: operation, MinItems: ptr(1),
		Title:       "Operations of a frontend",
		Description: "What a frontend would ask for, as policy-frontend eval --build reads it.",
	}, nil
}

// reflectCases returns the schema of a file of cases.
func reflectCases() (*jsonschema.Schema, error) {
	r, err := newReflector()
	if err != nil {
		return nil, err
	}
	schema := r.Reflect(&policytest.File{})
	schema.ID = casesID
	schema.Title = "Cases of a policy"
	schema.Description = "Requests and the answers that a policy has to give, as policy-frontend " +
		"test reads them."
	item := schema.Properties.Value("cases").Items
	entry := func(list *jsonschema.Schema) *jsonschema.Schema { return list.Items }
	verdict := func(s *jsonschema.Schema) *jsonschema.Schema { return s.Properties.Value("verdict") }
	addShortForm(item, "request", entry)
	addShortForm(item, "expect", verdict)
	for field, most := range map[string]uint64{
		"build":   4, // a Dockerfile, its target, its args and expect
		"exports": 3, "caches": 3,
	} {
		one := item.Properties.Value(field).Items
		one.MinProperties, one.MaxProperties = ptr(1), ptr(most)
		addShortForm(one, "expect", verdict)
	}
	for _, field := range []string{"push", "store"} {
		addShortForm(item.Properties.Value("exports").Items, field, entry)
	}
	return schema, nil
}

// reflectRecord returns the schema of a line of a record.
func reflectRecord() (*jsonschema.Schema, error) {
	r, err := newReflector()
	if err != nil {
		return nil, err
	}
	r.FieldNameTag = "json"
	schema := r.Reflect(&record.Entry{})
	schema.ID = recordID
	schema.Title = "A line of policy-guard's record of builds"
	schema.Description = "Says that a build has begun, or what was asked for in a build and what " +
		"became of it."
	return schema, nil
}

// addShortForm lets a field have a short form too. The schema of the short form is a part of the
// other.
func addShortForm(
	of *jsonschema.Schema, name string, short func(*jsonschema.Schema) *jsonschema.Schema,
) {
	long := of.Properties.Value(name)
	description := long.Description
	long.Description = ""
	one := *short(long)
	one.Description = ""
	of.Properties.Set(name, &jsonschema.Schema{
		Description: description, AnyOf: []*jsonschema.Schema{&one, long},
	})
}

// takeNumbers lets a number stand for a text, because the program takes it as it is written: the
// tag 1.4 needs no quotes.
func takeNumbers(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if s.Type == "string" && len(s.Enum) == 0 {
		text := &jsonschema.Schema{Type: "string", MinLength: s.MinLength, MaxLength: s.MaxLength}
		s.Type, s.MinLength, s.MaxLength = "", nil, nil
		s.AnyOf = []*jsonschema.Schema{text, {Type: "number"}}
		return
	}
	for _, part := range s.AnyOf {
		takeNumbers(part)
	}
	takeNumbers(s.Items)
	takeNumbers(s.AdditionalProperties)
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		takeNumbers(p.Value)
	}
}

func ptr(n uint64) *uint64 { return &n }
