// Package policy decides which frontend a build may run.
//
// A policy is one YAML document. Parse reads it, Stack puts at most one
// overlay on it, and Decide answers a request:
//
//	embedded, err := policy.Parse("policy.yaml", data)
//	layers, err := policy.Stack(embedded, nil)
//	ref, err := policy.ParseReference("docker/dockerfile:1")
//	decision := policy.Decide(layers, policy.Request{Requested: "docker/dockerfile:1", Reference: ref})
//
// The package is pure: it reads no file, no clock and no network, and the same
// input gives the same decision. What it can't know, such as the digest that a
// tag points to, comes in with the Request; while it is missing, a decision that
// depends on it is Undecidable.
//
// # Order of rules
//
// A deny rule that matches wins, wherever it stands. Otherwise the first allow
// rule that matches decides, and if there is none, the policy's default. All
// conditions of a rule must hold.
//
// # Layers
//
// Documents are never merged. The embedded policy and the overlay each decide by
// themselves and the decisions meet: either one's deny is final, and what both
// allow carries the obligations of both. An overlay can therefore tighten and
// never loosen.
//
// # Names and patterns
//
// References and patterns are compared in one form, see Reference. A pattern's
// "*" stands for any run of characters within one path component, the empty one
// included. "**" is a whole component and stands for any number of components,
// none included; at the end of a pattern it stands for at least one, so that
// "corp.example/tools/**" does not match "corp.example/tools".
package policy
