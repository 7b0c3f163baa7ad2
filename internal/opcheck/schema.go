package opcheck

import _ "embed"

//go:embed operations.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a file of operations, as [Parse] reads it. It
// is generated from the type of an operation.
func Schema() []byte { return []byte(schema) }
