package policytest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/policytest"
)

const guardedPolicy = `version: 1
llb: allow
exports: {client: [oci], push: {allow: ["corp.example/**"]}, annotations: ["org.*"]}
caches: {imports: {registry: {allow: [corp.example/cache]}}, exports: {local: allow}}
build: {images: {allow: ["corp.example/**"]}}
frontends:
- {name: tagged, match: [a]}
`

// guarded returns the files of the tests with a policy for policy-guard.
func guarded() folder {
	f := files()
	f["policy.yaml"] = &fstest.MapFile{Data: []byte(guardedPolicy)}
	f["no-llb.yaml"] = &fstest.MapFile{Data: []byte("version: 1\ndefault: allow\nllb: deny\n")}
	return f
}

func TestRunAnswersWhatOnlyPolicyGuardSees(t *testing.T) {
	t.Parallel()
	const pushRefused = "the policy refuses pushing to docker.io/library/x:latest: it allows only corp.example/** (exports.push.allow)"
	tests := []struct {
		name, body string
		want       []string // failures
	}{
		{
			"what is allowed needs no expectation",
			"exports: [{client: oci, annotations: [org.a]}, {push: corp.example/a}, {push: [corp.example/a, 'corp.example/b:1']}], " +
				"caches: [{import: registry, ref: corp.example/cache}, {export: local}, {export: inline}]",
			nil,
		},
		{"what is denied needs one", "exports: [{push: x}]", []string{
			"line 3: a push to docker.io/library/x:latest: the verdict is deny, and should be allow",
			"line 3: a push to docker.io/library/x:latest: the reason is: " + pushRefused,
		}},
		{
			"what is expected",
			"exports: [{push: [corp.example/a, x], expect: {verdict: deny, rule: exports, reason: push.allow, messages: [oci, 'exports.push']}}, " +
				"{store: x, expect: deny}, {client: tar, expect: deny}, {client: oci, annotations: [com.a], expect: {verdict: deny, reason: com.a}}], " +
				"caches: [{import: local, expect: {verdict: deny, rule: caches}}, {export: registry, ref: corp.example/cache, expect: deny}, {export: s3, expect: deny}]",
			nil,
		},
		{"containers of the client", "debug: deny", nil},
		{
			"containers of the client, with what is expected",
			"debug: {verdict: deny, rule: debug, reason: by itself, messages: ['debug: allow']}", nil,
		},
		{"containers of the client that should be allowed", "debug: {verdict: allow}", []string{
			"line 3: a container that the client runs by itself: the verdict is deny, and should be allow",
			"line 3: a container that the client runs by itself: the reason is: the policy refuses " +
				"containers that a client runs by itself (debug: deny, which is the default)",
		}},
		{"an unknown client is no administrator", "administration: {diskUsage: deny, pruning: deny}", nil},
		{
			"administration, with what is expected",
			"administration: {pruning: {verdict: deny, rule: administration, reason: pruning, messages: [administrator]}}",
			nil,
		},
		{"administration that should be allowed", "administration: {diskUsage: allow}", []string{
			"line 3: seeing the disk usage of the builder: the verdict is deny, and should be allow",
			"line 3: seeing the disk usage of the builder: the reason is: the policy refuses disk usage " +
				"for a client without a name that a policy can know (administration.clients)",
		}},
		{"another message", "exports: [{push: x, expect: {verdict: deny, messages: [bye]}}]", []string{
			`line 3: a push to docker.io/library/x:latest: no message has "bye"`,
			"line 3: a push to docker.io/library/x:latest: the reason is: " + pushRefused,
		}},
		{"another rule", "caches: [{import: local, expect: {verdict: deny, rule: exports}}]", []string{
			`line 3: the import of the build cache of the type local: the rule is "caches", and should be "exports"`,
			"line 3: the import of the build cache of the type local: the reason is: the policy refuses importing a build cache in a directory of the client (caches.imports.local)",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runGuarded(t, "request: a, expect: allow, "+tt.body)
			require.Equal(t, tt.want, got.Failures)
			require.NotEmpty(t, got.Build)
			require.Equal(t, 3, got.Build[0].Line)
		})
	}
}

func runGuarded(t *testing.T, body string) policytest.Result {
	t.Helper()
	s, err := policytest.Parse("t", []byte("policy: policy.yaml\ncases:\n- {name: x, "+body+"}\n"))
	require.NoError(t, err)
	results, err := s.Run(guarded(), all)
	require.NoError(t, err)
	return results[0]
}

func TestRunDecidesOnLLBOfAClient(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       []string // failures
	}{
		{"LLB that is allowed", "expect: {verdict: allow, rule: llb, reason: 'llb: allow'}", nil},
		{"LLB that should be refused", "expect: deny", []string{
			"the verdict is allow, and should be deny", "the reason is: the policy allows LLB (llb: allow)",
		}},
		{"an overlay that refuses it", "overlay: {file: no-llb.yaml}, expect: {verdict: deny, rule: llb, reason: overlay}", nil},
		{
			"build rules judge what it has",
			"expect: allow, build: [{image: corp.example/a}, {image: x, expect: {verdict: deny, rule: build}}, " +
				"{llb: bad, expect: {verdict: deny, reason: x.example/bad}}]",
			nil,
		},
		{"its results and caches", "expect: allow, exports: [{client: oci}], caches: [{import: local, expect: deny}]", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runGuarded(t, "ownLLB: true, "+tt.body)
			require.Equal(t, tt.want, got.Failures)
			require.Equal(t, "llb", got.Rule)
		})
	}
}

func TestParseRefusesWhatNoBuildWants(t *testing.T) {
	t.Parallel()
	const head = "policy: p\ncases:\n- {name: x, "
	tests := []struct{ name, body, want string }{
		{"an export to nowhere", "expect: allow, exports: [{}]}", "t:3:38: the entry says nowhere to go; write client, push or store"},
		{"two exports in one", "expect: allow, exports: [{client: oci, push: x}]}", "t:3:38: the entry has more than one of client, push and store"},
		{"an unknown exporter", "expect: allow, exports: [{client: image}]}", `t:3:38: client must be local, tar, oci or docker, not "image"`},
		{"an invalid name", "expect: allow, exports: [{push: A b}]}", `t:3:38: "A b" is not`},
		{"an unknown field of an export", "expect: allow, exports: [{pull: x}]}", `t:3:39: unknown field "pull"`},
		{"an export without a verdict", "expect: allow, exports: [{client: oci, expect: {rule: x}}]}", "t:3:60: expect has no verdict"},
		{"an image for an export", "expect: allow, exports: [{client: oci, expect: {verdict: deny, image: x}}]}", "image is about an operation; remove it"},
		{"a cache that isn't used", "expect: allow, caches: [{ref: x}]}", "t:3:37: the entry has to have one of import and export"},
		{"a cache with two uses", "expect: allow, caches: [{import: local, export: local}]}", "t:3:37: the entry has to have one of"},
		{"a registry without a name", "expect: allow, caches: [{import: registry}]}", "t:3:37: ref is the name of a cache of the type registry, and only such a cache has one"},
		{"a name of another cache", "expect: allow, caches: [{import: local, ref: x}]}", "t:3:37: ref is the name of a cache"},
		{"an invalid name of a cache", "expect: allow, caches: [{import: registry, ref: X y}]}", "t:3:37: ref: "},
		{"administration that says nothing", "expect: allow, administration: {}}", "t:3:44: the field says nothing; write diskUsage, pruning or both, or remove it"},
		{"an unknown field of administration", "expect: allow, administration: {prune: deny}}", `unknown field "prune"`},
		{"administration without a verdict", "expect: allow, administration: {pruning: {rule: x}}}", "expect has no verdict"},
		{"an image for administration", "expect: allow, administration: {pruning: {verdict: deny, image: x}}}", "image is about an operation; remove it"},
		{"results of a frontend that doesn't run", "request: a, expect: deny, exports: [{client: oci}]}", "a frontend that doesn't run builds nothing; remove exports"},
		{"caches of a frontend that doesn't run", "request: a, expect: deny, caches: [{import: local}]}", "a frontend that doesn't run builds nothing; remove caches"},
		{"LLB of a client's own by a frontend", "request: a, ownLLB: true, expect: allow}", "t:3:22: request is about a frontend, and LLB of the client's own has none; remove it, or ownLLB"},
		{"options for LLB of a client's own", "options: {a: b}, ownLLB: true, expect: allow}", "options is about a frontend"},
		{"inputs for LLB of a client's own", "inputs: [b], ownLLB: true, expect: allow}", "inputs is about a frontend"},
		{
			"a digest for LLB of a client's own", "digest: '" + digestA + "', ownLLB: true, expect: allow}",
			"digest is about a frontend",
		},
		{"a source of LLB of a client's own", "ownLLB: true, expect: {verdict: allow, source: a}}", "source is about a frontend"},
		{"a Dockerfile for LLB of a client's own", "ownLLB: true, expect: allow, build: [{dockerfile: x}]}", "a dockerfile is for a frontend; name a file with llb"},
		{"a frontend in LLB of a client's own", "ownLLB: true, expect: allow, build: [{frontend: x}]}", "LLB of the client's own has no such operation"},
		{"a configuration in LLB of a client's own", "ownLLB: true, expect: allow, build: [{config: {}}]}", "LLB of the client's own has no such operation"},
		{"a container in LLB of a client's own", "ownLLB: true, expect: allow, build: [{container: {}}]}", "LLB of the client's own has no such operation"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policytest.Parse("t", []byte(head+tt.body+"\n"))
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, 0, strings.Count(err.Error(), "\n"), "one mistake: %v", err)
		})
	}
}
