// Package schema is the JSON Schemas (2020-12) of the documents that people write,
// for editors: graphs and policies. They are written by core/graph/cmd/schema from
// the types that the documents are decoded into.
package schema

import _ "embed"

// Graph is the schema of a graph document.
//
//go:embed graph.schema.json
var Graph string

// Policy is the schema of a policy document.
//
//go:embed policy.schema.json
var Policy string
