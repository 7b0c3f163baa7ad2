package policy

import _ "embed"

//go:embed policy.schema.json
var schema string

// Schema returns the JSON Schema (draft 2020-12) of a policy document, for
// editors. It is generated from the types of this package. What a policy is, Parse
// alone decides: it knows more than a schema can say.
func Schema() []byte { return []byte(schema) }
