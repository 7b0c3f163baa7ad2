package main

// way is a way through the policy frontend.
type way struct {
	name   string
	policy string
}

// ways are the ways that are compared with builds straight by docker/dockerfile.
var ways = []way{
	{"forward", "dispatch: forward\n" + frontends},
	{"mediate", "dispatch: mediate\n" + frontends},
	{"builtin", "dispatch: builtin\n" + frontends},
	{"forward-rules", "dispatch: forward\n" + frontends + allAllowed},
	{"mediate-rules", "dispatch: mediate\n" + frontends + allAllowed + nestedAllowed},
	{"builtin-rules", "dispatch: builtin\n" + frontends + allAllowed + nestedAllowed},
}

const (
	// The tests' build files name no frontend.
	frontends = "version: 1\ndefaultFrontend: " + inner + "\n" +
		"frontends:\n  - match: [docker/dockerfile]\n"
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
