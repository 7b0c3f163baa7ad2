// Command schema writes policy/policy.schema.json anew from the Go types. Run it
// in its own folder.
package main

import (
	"fmt"
	"os"
)

const target = "../../policy/policy.schema.json"

func main() {
	data, err := generate()
	if err == nil {
		err = os.WriteFile(target, data, 0o644) //nolint:gosec // everyone may read the schema
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}
