package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEvalAnswersWhereResultsMayGo(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", `version: 1
contact: "#help"
exports: {push: {allow: ["corp.example/**"]}}
frontends: [{name: a, match: [docker/dockerfile]}]
`)
	code, stdout, stderr := run("eval", "--policy", file, "--export", "push=corp.example/a",
		"--export", "push=x.example/a", "--cache-from", "registry=corp.example/a", "docker/dockerfile:1")
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, `
a push to corp.example/a:latest is allowed
  message:      only policy-guard sees this, and applies it
a push to x.example/a:latest is refused: the policy refuses pushing to x.example/a:latest: it allows only corp.example/** (exports.push.allow)
  message:      build with -o type=oci,dest=FILE and push the file, or have the name allowed in exports.push
  message:      only policy-guard sees this, and applies it
  rule:         exports
  allowed:      corp.example/**
  contact:      #help
the import of the build cache corp.example/a:latest is refused: the policy refuses importing the build cache corp.example/a:latest (caches.imports.registry)
  message:      build without it, or have it allowed in caches.imports
  message:      only policy-guard sees this, and applies it
  rule:         caches
  contact:      #help
`)
	code, stdout, _ = run("eval", "--policy", file, "--format", "json", "--export", "oci",
		"docker/dockerfile:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout,
		`"build":[{"verdict":"allow","asked":"a result for the client of the type oci"`)
	for _, args := range [][]string{
		{"--export", "x"},
		{"--export", "push=A b"},
		{"--cache-from", "registry"},
		{"--cache-to", "registry="},
		{"--sbom", "A b"},
		{"--annotation", "k"},
	} {
		code, _, stderr := run(append(append([]string{"eval", "--policy", file}, args...),
			"docker/dockerfile:1")...)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, args[0])
	}
	code, stdout, _ = run("explain", "--policy", file, "--export", "oci", "docker/dockerfile:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "policy-guard lets results go only there: the client (local, tar, oci, docker); pushed to corp.example/**")
	require.Contains(t, stdout, "a result for the client of the type oci is allowed\n")
}

func TestEvalAnswersAboutContainersOfAClient(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nfrontends: [{match: [docker/dockerfile]}]\n"
	refused := write(t, "refused.yaml", head)
	code, stdout, stderr := run("eval", "--policy", refused, "--debug", "docker/dockerfile:1")
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, "a container that the client runs by itself is refused: the policy "+
		"refuses containers that a client runs by itself (debug: deny, which is the default)\n"+
		"  message:      run the command in a step of the build, or have them allowed by debug: allow\n")
	allowed := write(t, "allowed.yaml", head+"debug: allow\n")
	code, stdout, stderr = run("explain", "--policy", allowed, "--debug", "docker/dockerfile:1")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "policy-guard lets clients run containers of their own (debug: allow)")
	require.Contains(t, stdout, "a container that the client runs by itself is allowed\n")
}

func TestEvalAnswersWhoAdministrates(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", `version: 1
administration: {clients: ["uid:0", "cn:release-*"]}
frontends: [{match: [docker/dockerfile]}]
`)
	code, stdout, stderr := run("eval", "--policy", file, "--client", "uid:1",
		"--administration", "disk-usage", "--administration", "pruning", "docker/dockerfile:1")
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, `
seeing the disk usage of the builder is refused: the policy refuses disk usage for uid:1: it allows only uid:0 or cn:release-* (administration.clients)
  message:      it concerns all clients, so ask an administrator, or have this client listed in administration.clients
  message:      only policy-guard sees this, and applies it
  rule:         administration
  allowed:      uid:0, cn:release-*
pruning the builder is refused: the policy refuses pruning for uid:1: `)
	code, stdout, stderr = run("explain", "--policy", file, "--client", "cn:release-1",
		"--administration", "pruning", "docker/dockerfile:1")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "only these clients administrate the builder: uid:0, cn:release-*")
	require.Contains(t, stdout, "pruning the builder is allowed\n")
	code, stdout, _ = run("eval", "--policy", file, "--administration", "pruning", "--format", "json",
		"docker/dockerfile:1")
	require.Equal(t, exitDeny, code, "an unknown client is no administrator")
	require.Contains(t, stdout, `"build":[{"verdict":"deny","asked":"pruning the builder"`)
	code, _, stderr = run("eval", "--policy", file, "--administration", "prune", "docker/dockerfile:1")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `--administration: "prune" isn't disk-usage or pruning`)
}

func TestEvalAnswersAboutAnnotations(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", "version: 1\nexports: {annotations: [\"org.*\"]}\n"+
		"frontends: [{match: [docker/dockerfile]}]\n")
	code, stdout, stderr := run("eval", "--policy", file, "--export", "oci", "--annotation", "org.a",
		"docker/dockerfile:1")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "of the type oci with the annotation org.a is allowed\n")
	code, stdout, _ = run("eval", "--policy", file, "--export", "oci", "--annotation", "com.a",
		"docker/dockerfile:1")
	require.Equal(t, exitDeny, code)
	require.Contains(t, stdout, "the policy refuses the annotation com.a: it allows only org.* (exports.annotations)")
}

func TestEvalAnswersAboutLLBOfAClient(t *testing.T) {
	t.Parallel()
	allowed := write(t, "allowed.yaml", `version: 1
llb: allow
build: {images: {allow: ["corp.example/**"]}, exec: {networks: [none]}, config: {user: {forbid: [root]}}}
`)
	refused := write(t, "refused.yaml", "version: 1\nfrontends: [{match: [docker/dockerfile]}]\n")
	operations := write(t, "operations.yaml", "- image: corp.example/a\n- image: busybox\n- exec: {network: none}\n")
	own := func(command, file string, args ...string) (int, string, string) {
		return run(append([]string{command, "--policy", file, "--own-llb"}, args...)...)
	}

	code, stdout, stderr := own("eval", refused)
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, "LLB that no frontend made is refused: the policy lets clients build by "+
		"frontends only (llb: deny, which is the default)\n")
	require.Contains(t, stdout, "  rule:         llb\n")

	code, stdout, stderr = own("eval", allowed)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "LLB that no frontend made is allowed: the policy allows LLB (llb: allow)\n")
	code, stdout, stderr = own("eval", allowed, "--build", operations)
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, "1. the image corp.example/a (line 1) is allowed\n")
	require.Contains(t, stdout, "2. the image busybox (line 2) is refused: ")
	require.Contains(t, stdout, "3. a command with the network none (line 3) is allowed\n")

	code, stdout, _ = own("eval", allowed, "--export", "oci", "--cache-to", "inline")
	require.Equal(t, exitDeny, code)
	require.Contains(t, stdout, "the type oci is refused: the result has no configuration")
	require.Contains(t, stdout, "the export of the build cache of the type inline is allowed\n")

	overlay := write(t, "overlay.yaml", "version: 1\ndefault: allow\nllb: deny\n")
	code, stdout, _ = own("explain", allowed, "--overlay", overlay)
	require.Equal(t, exitDeny, code)
	require.Contains(t, stdout, `by the overlay:
  layer  deny   it refuses LLB (llb: deny, which is a policy's default)
by the policy:
  layer  allow  it allows LLB (llb: allow)
LLB that no frontend made is refused: the overlay decided: it refuses LLB (llb: deny)
`)
	code, stdout, _ = own("explain", allowed, "--format", "json")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, `"steps":[{"kind":"layer","layer":"policy","rule":"llb","verdict":"allow"`)
	require.Contains(t, stdout, `{"kind":"build","layer":"policy","rule":"default","reason":"its builds are bound by rules on `)

	for want, args := range map[string][]string{
		"remove the reference":     {"docker/dockerfile:1"},
		"remove --digest":          {"--digest", "sha256:" + strings.Repeat("a", 64)},
		"remove --opt target":      {"--opt", "target=x"},
		"remove --input":           {"--input", "x"},
		"has no such operation":    {"--build", write(t, "config.yaml", "- config: {}\n")},
		"--at:":                    {"--at", "noon"},
		"is stdin, which can be":   {"--build", "-", "--llb", "-"},
		"not an LLB definition":    {"--llb", operations},
		"no such file or director": {"--overlay", "missing.yaml"},
	} {
		code, _, stderr := own("eval", allowed, args...)
		require.Equal(t, exitUsage, code, want)
		require.Contains(t, stderr, want)
	}
}

// What clients share is refused under every policy, whatever its build rules say.
func TestEvalRefusesWhatClientsShareInTheirLLB(t *testing.T) {
	t.Parallel()
	// A command with a mount of the type CACHE (solver/pb/ops.proto).
	mount := message(1, -1, 3, "/c", 4, -1, 6, 3, 20, message(1, "c"))
	op := message(2, message(1, message(1, "true", 3, "/"), 2, mount))
	file := write(t, "policy.yaml", "version: 1\nllb: allow\nfrontends: [{match: [docker/dockerfile]}]\n")
	built := write(t, "own.llb", string(message(1, op)))
	code, stdout, stderr := run("eval", "--policy", file, "--own-llb", "--llb", built)
	require.Equal(t, exitDeny, code, stderr)
	require.Contains(t, stdout, "a cache mount, which is one for all clients is refused: ")
	code, stdout, stderr = run("eval", "--policy", file, "--llb", built, "docker/dockerfile:1")
	require.Equal(t, exitOK, code, "%s%s", stdout, stderr)
}

func TestEvalAnswersAClient(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", `version: 1
frontends: [{name: ci, match: [docker/dockerfile], clients: ["gid:2"]}]
`)
	for _, command := range []string{"eval", "explain"} {
		for _, tt := range []struct {
			args []string
			code int
			want string
		}{
			{[]string{"--client", "uid:1", "--client", "gid:2"}, exitOK, `rule "ci" allows docker/docker`},
			{[]string{"--client", "uid:2"}, exitDeny, "only for gid:2, not for uid:2"},
			{nil, exitDeny, "only for gid:2, and it isn't known who builds"},
		} {
			code, stdout, stderr := run(append(append([]string{command, "--policy", file}, tt.args...),
				"docker/dockerfile:1")...)
			require.Equal(t, tt.code, code, stderr)
			require.Contains(t, stdout, tt.want)
		}
		code, _, stderr := run(command, "--policy", file, "--client", "gid:2", "docker/dockerfile:1")
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "--client: a client with groups has one user: uid:NUMBER")
	}
}
