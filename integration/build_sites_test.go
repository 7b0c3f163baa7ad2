package integration

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// These are the images of these tests in the registry. All of them are busybox.
const (
	goodBase = "good/base:1"
	evilBase = "evil/base:1"
	oldBase  = "old/base:1" // what the policy converts to goodBase
)

// buildSites are the places outside of the registry that builds read from.
type buildSites struct {
	files, evilFiles string // served by HTTP
	git, evilGit     string
	commit           string
}

func newBuildSites(t *testing.T) buildSites {
	t.Helper()
	for _, ref := range []string{
		goodBase, evilBase, oldBase, "plat/amd64:1", "plat/arm64:1", "scan/scanner:1",
	} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"),
			env.Registry.Ref(ref)))
	}
	var s buildSites
	s.files = harness.ServeFiles(t, map[string][]byte{
		"file": []byte("served\n"), "sub/file": []byte("below\n"),
	})
	s.evilFiles = harness.ServeFiles(t, map[string][]byte{"file": []byte("evil\n")})
	s.git, s.commit = harness.GitServer(t, map[string]string{"file": "from git\n"})
	s.evilGit, _ = harness.GitServer(t, map[string]string{"file": "evil\n"})
	return s
}

// policy returns a policy that allows everything that is not evil, of each kind.
func (s buildSites) policy(head string) string {
	return fmt.Sprintf(`version: 1
id: corp-ci
contact: "#build-help"
%s
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    build:
      images:
        allow: [busybox, "good/**", "plat/amd64"]
        convert: [{from: old/base, to: good/base}]
      git: {allow: [%q]}
      http: {allow: [%q]}
      exec: {secrets: ["npm-*"], networks: [none, default]}
      config: {user: {forbid: [root]}}
`, head, s.git, s.files+"/**")
}

// under returns a daemon that allows only the image with the policy as a frontend.
func under(t *testing.T, policy string) side {
	t.Helper()
	return side{Daemon: env.SolePermitted(t), name: "through us", syntax: env.WithPolicy(t, policy)}
}

// eachJudge runs a test once for each dispatch, with the same build rules. Its daemon allows only
// the image with the sites' policy as a frontend.
func (s buildSites) eachJudge(
	t *testing.T, head string, test func(t *testing.T, us side, by policy.Dispatch),
) {
	t.Helper()
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			test(t, under(t, s.policy(head+"\ndispatch: "+string(by))), by)
		})
	}
}
