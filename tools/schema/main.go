// Command schema generates policy/policy.schema.json, and the table of all fields in
// docs/policy.md, from the Go types. Run it in its own folder.
package main

import (
	"fmt"
	"os"
)

const (
	target = "../../policy/policy.schema.json"
	page   = "../../docs/policy.md"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func write() error {
	data, err := generate()
	if err != nil {
		return err
	}
	if err := os.WriteFile(target, data, 0o644); err != nil { //nolint:gosec // everyone may read it
		return err
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
