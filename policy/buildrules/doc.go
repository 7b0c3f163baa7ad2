// Package buildrules says what an allowed frontend may build: rules on images, repositories,
// downloads, commands and other kinds of operations, and the operations that rules check.
//
// # Overview
//
// [Rules] are the field "build" of a policy, or of one of its rules. Each field is for one
// [Kind] of operations. A kind without rules is not restricted, except that a frontend may
// start containers only where rules allow it. Where there are rules for a kind, they allow
// only what they list. What they deny is denied, whatever else they list.
//
// An [Operation] is one thing that a frontend asks the builder to do, or the configuration of
// an image that it returns. Programs make operations and hand them to [policy.Decision.Check],
// which applies the rules of all layers:
//
//	ruling := decision.Check(buildrules.Operation{Image: "docker.io/library/busybox:1"})
//
// The rules of a rule stand under those of the whole policy, see [Rules.Under]: refusals add up,
// and allowances are replaced.
//
// Conditions on the configuration of an image can be for some results only: by the target of the
// build, and by whether the image has a command. In doubt they are for a result.
//
// # Canonical form
//
// Rules compare operations in canonical form: references as package imageref has them, URLs
// without a default port or an encoded letter, users and ports in one spelling. A URL whose path
// programs read in several ways is allowed if all readings are, and denied if one is. Any other
// operation that two programs could read in two ways has no canonical form. It is denied if
// rules restrict its kind. An operation of no known kind is always denied.
//
// # One table of kinds
//
// All kinds are in one table, which [Kinds] returns. Code that depends on the kind of an
// operation loops over it. Unknown kinds are restricted, read from a source and shown by
// results, so code that misses a kind refuses too much, never too little.
//
// [policy.Decision.Check]:
// https://pkg.go.dev/github.com/policy-frontend/policy-frontend/policy#Decision.Check
package buildrules
