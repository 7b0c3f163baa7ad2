package record

import _ "embed"

//go:embed record.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a line of a record. It is generated from the
// types of this package.
func Schema() []byte { return []byte(schema) }
