// Command schema writes the JSON schemas of policies, of files of operations, of files of cases and
// of records, and the tables of all fields in docs/policy.md and docs/record.md, from the Go types.
// Run it in its own directory.
package main

import (
	"fmt"
	"os"

	"github.com/invopop/jsonschema"
)

const (
	target     = "../../policy/policy.schema.json"
	operations = "../../internal/opcheck/operations.schema.json"
	cases      = "../../internal/policytest/test.schema.json"
	entries    = "../../internal/record/record.schema.json"
)

// pages are the pages with a table of fields, and the schemas that have them.
func pages() map[string]func() (*jsonschema.Schema, error) {
	return map[string]func() (*jsonschema.Schema, error){
		"../../docs/policy.md": reflectPolicy, "../../docs/record.md": reflectRecord,
	}
}

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func write() error {
	schemas, err := generated()
	if err != nil {
		return err
	}
	for file, data := range schemas {
		if err := os.WriteFile(file, data, 0o644); err != nil { //nolint:gosec // for everyone
			return err
		}
	}
	for page, reflect := range pages() {
		old, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		text, err := withFields(string(old), reflect)
		if err != nil {
			return err
		}
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil { //nolint:gosec // for everyone
			return err
		}
	}
	return nil
}
