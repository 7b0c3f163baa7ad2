// Package policy decides which frontend a build may run, and what that frontend
// may build.
//
// A policy is one YAML document. Parse reads it, Stack puts at most one
// overlay on it, and Decide answers a request:
//
//	embedded, err := policy.Parse("policy.yaml", data)
//	layers, err := policy.Stack(embedded, nil)
//	ref, err := imageref.Parse("docker/dockerfile:1")
//	decision := policy.Decide(layers, policy.Request{Requested: "docker/dockerfile:1", Reference: ref})
//
// What the frontend then asks for is a buildrules.Operation, which the decision judges:
//
//	ruling := decision.Check(policy.Operation{Image: "docker.io/library/alpine:3"})
//
// The package is pure: it reads no clock, no network and no file but through the
// fs.FS that Load is given, and the same input gives the same decision. What it
// can't know, such as the digest that a tag points to, comes in with the Request;
// while it is missing, a decision that depends on it is Undecidable.
//
// # Order of rules
//
// A deny rule that matches wins, wherever it stands. Otherwise the first allow
// rule that matches decides, and if there is none, the policy's default. All
// conditions of a rule must hold.
//
// A rule that allows also judges the build's options; what it refuses there is
// refused, whatever other rules say. From its expiry on, a rule is as if it weren't
// written.
//
// # Names, tags and digests
//
// Aliases rewrite a reference once, before the rules; what comes out is what the
// rules judge and what may run. Tags say little of what runs, so that conditions on
// them count only where the tag is known to point to the digest. What isn't certain
// doesn't count as met for an allow rule and counts as met for a deny rule: a
// partial version such as 1.7 has to lie inside an allow rule's versions with all
// that it can stand for, and gets caught by a deny rule's with any of it.
//
// # Modes
//
// With mode: warn, a policy's denials by rules or default become Warn, and oblige
// to nothing. A rule has a mode of its own: a deny rule that warns leaves the
// decision to the other rules; an allow rule that warns lets pass what its options
// refuse. Nothing softens the limits, what is built in, or another layer.
//
// # Layers
//
// Documents are never merged. The embedded policy and the overlay each decide by
// themselves and the decisions meet: either one's deny is final, and what both
// allow carries the obligations of both. An overlay can therefore tighten and
// never loosen. Its aliases rewrite the request before those of the embedded
// policy do; its rules judge what comes out of its own, the embedded policy's judge
// what runs, and so do the limits of both.
//
// # Rules on builds
//
// The rule that allows a frontend has rules on what it builds: its own of each
// kind, else the policy's. A kind that isn't named is not restricted; of one that is
// named, deny beats allow, and without a list of what is allowed, all else is.
// Containers that a frontend starts by itself are denied unless they are allowed. What
// can't be made sense of is denied in every mode if its kind is restricted, and what
// is no operation always is.
//
// Images are converted once, then pinned, then judged. With an overlay, its rules
// convert and judge first and those of the embedded policy what comes out, as with
// aliases; of everything else, both judge the same. A frontend that another one
// runs is held to the rules of both, see Decision.Within.
//
// # Names and patterns
//
// References and patterns are compared in one form, see Reference. A pattern's
// "*" stands for any run of characters within one path component, the empty one
// included. "**" is a whole component and stands for any number of components,
// none included; at the end of a pattern it stands for at least one, so that
// "corp.example/tools/**" does not match "corp.example/tools".
//
// Patterns for URLs have a scheme and stars of the same meaning in the path; in the
// host, "*" stays within one label and "**" stands for any number of them. URLs are
// compared decoded, and without user, password and what follows a question mark,
// which are repeated nowhere: they may be secrets. What two programs could read as
// two URLs is none.
package policy
