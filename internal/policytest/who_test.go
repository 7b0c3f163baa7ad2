package policytest_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/policytest"
)

func TestCasesAreAskedByAClient(t *testing.T) {
	t.Parallel()
	f := files()
	f["policy.yaml"] = &fstest.MapFile{Data: []byte(`version: 1
frontends: [{name: ci, match: [a], clients: ["cn:ci", "gid:2"]}]
exports: {push: [{clients: ["gid:2"], allow: [p]}], client: [{clients: ["cn:ci"], allow: [oci]}]}
caches: {imports: {local: {clients: ["gid:2"]}}}
debug: {clients: ["cn:ci"]}
administration: {clients: ["gid:2"]}
llb: {clients: ["gid:2"]}
`)}
	s, err := policytest.Parse("t.yaml", []byte(`policy: policy.yaml
cases:
- {name: a certificate, request: a, client: "cn:ci", expect: allow,
   exports: [{push: p, expect: {verdict: deny, reason: "only for gid:2, not for cn:ci"}}]}
- {name: a member of a group, request: a, client: ["uid:1", "gid:2"], expect: allow, exports: [{push: p}]}
- {name: what a certificate lets a client do, request: a, client: "cn:ci", expect: allow,
   exports: [{client: oci}, {client: tar, expect: deny}], debug: allow, administration: {pruning: deny},
   caches: [{import: local, expect: {verdict: deny, reason: "only for gid:2, not for cn:ci"}}]}
- {name: what a group lets a client do, request: a, client: ["uid:1", "gid:2"], expect: allow,
   exports: [{client: oci, expect: {verdict: deny, reason: exports.client.clients}}],
   debug: {verdict: deny, reason: debug.clients}, caches: [{import: local}],
   administration: {diskUsage: allow, pruning: allow}}
- {name: another user, request: a, client: "uid:1", expect: {verdict: deny, reason: "not for uid:1"},
   administration: {diskUsage: {verdict: deny, reason: "uid:1"}}}
- {name: nobody knows, request: a, expect: {verdict: deny, reason: "it isn't known who builds"}}
- {name: LLB, ownLLB: true, client: ["uid:1", "gid:2"], expect: allow}
- {name: LLB of another one, ownLLB: true, client: "uid:2", expect: {verdict: deny, reason: llb.clients}}
`))
	require.NoError(t, err)
	results, err := s.Run(f, func(string) bool { return true })
	require.NoError(t, err)
	require.Len(t, results, 8)
	for _, r := range results {
		require.Empty(t, r.Failures, r.Case.Name)
	}
	for entry, want := range map[string]string{
		"[]": "client is empty", `"gid:1"`: "a client with groups has one user", "alice": "is of no known kind",
		`["cn:a*"]`: "has a star",
	} {
		_, err := policytest.Parse("t.yaml", []byte("policy: p\ncases:\n- {name: x, request: a, client: "+
			entry+", expect: allow}\n"))
		require.ErrorContains(t, err, want)
	}
}
