// Package policy decides which frontend a build may run, and what that frontend may build.
//
// A policy is a YAML document. [Parse] or [Load] reads it, [Stack] puts at most one overlay
// on it, and [Decide] answers a [Request]. [Explain] also says how the answer came about.
//
//	embedded, err := policy.Parse("policy.yaml", data)
//	layers, err := policy.Stack(embedded, nil)
//	ref, err := imageref.Parse("docker/dockerfile:1")
//	request := policy.Request{Requested: "docker/dockerfile:1", Reference: ref}
//	decision := policy.Decide(layers, request)
//
// [Decision.Check] then answers each operation of the frontend:
//
//	ruling := decision.Check(buildrules.Operation{Image: "docker.io/library/alpine:3"})
//
// The package is pure. It reads no clock and no network, and no file except through the
// fs.FS of [Load]. The same input gives the same decision. The caller supplies other facts
// in the Request, for example the digest that a tag points to. If a decision depends on a
// digest that is missing, it is [Undecidable].
//
// # Order of rules
//
// A deny rule that matches wins, wherever it is. Otherwise the first allow rule that matches
// decides. If none matches, the policy's default decides. A rule matches if all of its
// conditions hold. A rule that has expired never matches.
//
// An allow rule also has conditions on the build's options. If a build breaks them, it is
// refused, and no later rule is asked.
//
// # Names, tags and digests
//
// Aliases rewrite a reference once, before the rules see it. The rules are evaluated on the
// result, and the result may run.
//
// A tag can move, so a condition on a tag counts only if the tag points to the digest that
// runs. Uncertainty is resolved towards refusal. A partial version such as 1.7 satisfies an
// allow rule only if every 1.7.x does, and matches a deny rule if any 1.7.x does.
//
// Package imageref documents the canonical form in which names and patterns are compared.
//
// # Modes
//
// Under mode: warn, a denial by a rule or by the default becomes [Warn], and the build has
// no obligations. A rule can have a mode of its own. A deny rule that warns leaves the
// decision to the other rules. An allow rule that warns accepts options that it would
// refuse. No mode weakens the limits, the invariants ([InvariantRule]) or another layer.
//
// # Layers
//
// Documents are never merged. The embedded policy and the overlay each decide by themselves.
// If either denies, the build is refused. If both allow, the build has the obligations of
// both. So an overlay can tighten a policy and never loosen it.
//
// The overlay's aliases rewrite the request first, and the overlay's rules see the result.
// Then the embedded policy's aliases rewrite it again. The embedded policy's rules, and the
// limits of both, see the reference that runs.
//
// # Build rules
//
// For each kind of operation, the build rules of the rule that allows the frontend apply, or
// else those of the whole policy. A kind without build rules is unrestricted. Within a kind,
// deny beats allow, and if there is no list of allowed names, every other name is allowed.
// Containers that a frontend starts by itself are denied unless rules allow them.
//
// An operation that can't be interpreted is denied in every mode if rules restrict its kind.
// An operation of unknown kind is always denied.
//
// Images are converted once, then pinned, then checked. The overlay does so first, and the
// embedded policy with the result. For all other kinds, both layers check the same
// operation. A nested frontend is bound by the rules of its outer frontend too, see
// [Decision.Within]. Package buildrules has the kinds, their rules and their patterns.
package policy
