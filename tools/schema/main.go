// Command schema writes the JSON schemas of policies, of files of operations and of files of cases,
// and the table of all fields in docs/policy.md, from the Go types. Run it in its own directory.
package main

import (
	"fmt"
	"os"
)

const (
	target     = "../../policy/policy.schema.json"
	operations = "../../internal/opcheck/operations.schema.json"
	cases      = "../../internal/policytest/test.schema.json"
	page       = "../../docs/policy.md"
)

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
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := withFields(string(old))
	if err != nil {
		return err
	}
	return os.WriteFile(page, []byte(text), 0o644) //nolint:gosec // everyone may read it
}
