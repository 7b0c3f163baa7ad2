package main

import "slices"

// way is a way through the policy frontend, or through policy-guard.
type way struct {
	name   string
	policy string
	// guard says that a policy-guard with the policy stands before each daemon. The tests use
	// docker/dockerfile as they do straight.
	guard bool
	// builtin says that the tests ask for the daemon's own dockerfile.v0.
	builtin bool
}

// ways are the ways that are compared with builds straight by docker/dockerfile.
var ways = []way{
	{name: "forward", policy: "dispatch: forward\n" + frontends},
	{name: "mediate", policy: "dispatch: mediate\n" + frontends},
	{name: "builtin", policy: "dispatch: builtin\n" + frontends},
	{name: "forward-rules", policy: "dispatch: forward\n" + frontends + allAllowed},
	{name: "mediate-rules", policy: "dispatch: mediate\n" + frontends + allAllowed + nestedAllowed},
	{name: "builtin-rules", policy: "dispatch: builtin\n" + frontends + allAllowed + nestedAllowed},
	{name: "guard-forward", policy: "dispatch: forward\n" + guarded, guard: true},
	{name: "guard-builtin", policy: "dispatch: builtin\n" + guarded, guard: true, builtin: true},
}

// ofTheImage returns the ways through the policy frontend. What is expected to differ through
// policy-guard isn't listed yet, so those ways have to be chosen.
func ofTheImage() []way {
	return slices.DeleteFunc(slices.Clone(ways), func(w way) bool { return w.guard })
}

const (
	// The tests' build files name no frontend.
	frontends = "version: 1\ndefaultFrontend: " + inner + "\n" +
		"frontends:\n  - match: [docker/dockerfile]\n"
	// guarded allows the name that BuildKit's tests give docker/dockerfile, and dockerfile.v0.
	guarded = "version: 1\nfrontends:\n  - match: [buildkit_test/*, docker/dockerfile]\n"
	// allAllowed has rules for every kind of operation, so that each operation is checked. They
	// allow everything.
	allAllowed = `build:
  images: {allow: ["**"]}
  git: {allow: ["**"]}
  http: {allow: ["**"]}
  local: {allow: ["*"]}
  ociLayout: {allow: ["**"]}
  blob: {allow: ["**"]}
  exec:
    networks: [none, default, host]
    insecure: true
    ssh: true
    secrets: ["*"]
    devices: true
    hosts: ["*"]
    ulimits: {nofile: 9223372036854775807}
    cgroupParents: ["*"]
`
	// nestedAllowed is for what forward can't check.
	nestedAllowed = "  frontends: {allow: [\"**\"]}\n  containers: allow\n"
)
