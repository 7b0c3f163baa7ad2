package main

// tested is one of BuildKit's packages whose tests run.
type tested struct {
	// name is for the command line, and pkg the folder in BuildKit's repository.
	name, pkg string
	// functions are the tests of Go whose subtests are the tests.
	functions []string
	// ways are the ways that are compared with what the tests do straight.
	ways []way
}

var suites = []tested{
	{"dockerfile", "frontend/dockerfile", []string{"TestIntegration"}, []way{
		{name: "forward", policy: "dispatch: forward\n" + frontends},
		{name: "mediate", policy: "dispatch: mediate\n" + frontends},
		{name: "builtin", policy: "dispatch: builtin\n" + frontends},
		{name: "forward-rules", policy: "dispatch: forward\n" + frontends + allAllowed},
		{name: "mediate-rules", policy: "dispatch: mediate\n" + frontends + allAllowed + nestedAllowed},
		{name: "builtin-rules", policy: "dispatch: builtin\n" + frontends + allAllowed + nestedAllowed},
		{name: "guard-forward", policy: "dispatch: forward\n" + guarded, before: policyGuard},
		{
			name: "guard-builtin", policy: "dispatch: builtin\n" + guarded, before: policyGuard,
			builtin: true,
		},
		{
			name: "guard-rules", before: policyGuard,
			policy: "dispatch: mediate\n" + guarded + allAllowed + nestedAllowed,
		},
	}},
	{
		"client", "client",
		[]string{"TestIntegration", "TestClientGatewayIntegration", "TestCompatibilityIntegration"},
		[]way{{name: "pass-all", before: proxyAlone}},
	},
}

// stands is what stands before each daemon of the tests.
type stands int

const (
	nothing stands = iota
	// policyGuard has the way's policy. The tests use docker/dockerfile as they do straight.
	policyGuard
	// proxyAlone is the part of policy-guard that passes on calls, without its judgement.
	proxyAlone
)

// way is a way through the policy frontend, or through policy-guard.
type way struct {
	name   string
	policy string
	before stands
	// builtin says that the tests ask for the daemon's own dockerfile.v0.
	builtin bool
}

const (
	// The tests' build files name no frontend.
	frontends = "version: 1\ndefaultFrontend: " + inner + "\n" +
		"frontends:\n  - match: [docker/dockerfile]\n"
	// guarded allows all that a policy can allow through policy-guard without build rules. It names
	// what BuildKit's tests call docker/dockerfile, and dockerfile.v0.
	guarded = `version: 1
default: allow
llb: allow
administration: {clients: ["uid:0"]}
sbom: {generators: {allow: ["**"]}}
exports:
  client: [local, tar, oci, docker]
  push: {allow: ["**"]}
  store: {allow: ["**"]}
  annotations: true
caches:
  imports: {registry: {allow: ["**"]}, local: allow}
  exports: {registry: {allow: ["**"]}, local: allow}
`
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
