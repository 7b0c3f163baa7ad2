package policy

import _ "embed"

//go:embed policy.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a policy document, for
// editors. It is generated from the types of this package and is looser than
// Parse, which alone decides what a policy is.
func Schema() []byte { return []byte(schema) }
